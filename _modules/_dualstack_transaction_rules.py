r"""
How the restorer puts live rules back, in awk: what others have added meanwhile stays. As ``firewall_merge`` does.
"""

from __future__ import annotations

NAME = "rules.awk"

AWK = r"""# rules.awk BEFORE AFTER LIVE: prints the script for iptables-restore --noflush that makes the chains of
# BEFORE as they were, with what others have added to them since; each is a text of iptables-save. Prints nothing where
# nothing has to change.
FNR == 1 { source++ }
/^#others / { others[$2, $3] = 1; next }
/^\*/ {
  table = substr($1, 2)
  if (!(table in known)) { known[table] = 1; tables[++T] = table }
  next
}
/^:/ {
  chain = substr($1, 2)
  if (!((source, table, chain) in policy)) names[source, table, ++count[source, table]] = chain
  policy[source, table, chain] = $2
  next
}
{ sub(/^\[[0-9:]*\] /, "") }
/^-A / { chain = $2; rule[source, table, chain, ++size[source, table, chain]] = $0 }

function target(text) { # where a rule leads
  gsub(/"([^"\\]|\\.)*"/, "", text)
  return match(text, / (-j|-g) [^ ]+/) ? substr(text, RSTART + 4, RLENGTH - 4) : ""
}

# rules as they were, each added one behind the nearest rule before it that is there
function merged(t, c,    i, j, n, text, place, at) {
  delete extra
  for (i = 1; i <= size[3, t, c]; i++) extra[rule[3, t, c, i]]++
  delete one; delete two
  for (i = 1; i <= size[1, t, c]; i++) one[rule[1, t, c, i]]++
  for (i = 1; i <= size[2, t, c]; i++) two[rule[2, t, c, i]]++
  for (text in extra) extra[text] -= (one[text] > two[text] ? one[text] : two[text])
  delete result
  n = 0
  for (i = 1; i <= size[1, t, c]; i++) result[++n] = rule[1, t, c, i]
  place = 0
  for (i = 1; i <= size[3, t, c]; i++) {
    text = rule[3, t, c, i]
    if (extra[text] > 0) {
      extra[text]--
      for (j = n; j > place; j--) result[j + 1] = result[j]
      result[++place] = text
      n++
    } else {
      at = 0
      for (j = place + 1; j <= n && !at; j++) if (result[j] == text) at = j
      if (at) place = at
    }
  }
  return n
}

END {
  for (k = 1; k <= T; k++) {
    t = tables[k]
    if (!count[1, t]) continue
    body = ""; head = ""; differs = 0
    delete led
    for (i = 1; i <= count[1, t]; i++) mine[t, names[1, t, i]] = 1
    for (i = 1; i <= count[3, t]; i++) { # chains of others, and rules in them, stay
      c = names[3, t, i]
      if ((t, c) in mine || (2, t, c) in policy) continue
      for (j = 1; j <= size[3, t, c]; j++) led[target(rule[3, t, c, j])] = 1
    }
    for (i = 1; i <= count[1, t]; i++) {
      c = names[1, t, i]
      n = merged(t, c)
      there = (3, t, c) in policy
      now = there ? policy[3, t, c] : (policy[1, t, c] == "-" ? "" : "ACCEPT") # a table without a use is empty
      same = policy[1, t, c] == now
      m = 0
      for (j = 1; j <= n; j++) {
        to = target(result[j])
        if ((t, to) in others && !((3, t, to) in policy)) continue # a chain of others that has gone meanwhile
        kept[++m] = result[j]
        led[to] = 1
      }
      if (m != size[3, t, c] + 0) same = 0
      for (j = 1; j <= m && same; j++) if (kept[j] != rule[3, t, c, j]) same = 0
      if (same) continue
      differs = 1
      head = head ":" c " " policy[1, t, c] " [0:0]\n"
      if (policy[1, t, c] != "-") body = body "-F " c "\n"
      for (j = 1; j <= m; j++) body = body kept[j] "\n"
    }
    do { # a new chain to which others lead by now stays, and those to which it leads
      more = 0
      for (i = 1; i <= count[2, t]; i++) {
        c = names[2, t, i]
        if ((1, t, c) in policy || !(c in led) || (t, c) in followed) continue
        followed[t, c] = more = 1
        for (j = 1; j <= size[3, t, c]; j++) led[target(rule[3, t, c, j])] = 1
      }
    } while (more)
    gone = ""
    for (i = 1; i <= count[2, t]; i++) {
      c = names[2, t, i]
      if ((1, t, c) in policy || !((3, t, c) in policy) || policy[2, t, c] != "-" || c in led) continue
      differs = 1
      body = body "-F " c "\n"
      gone = gone "-X " c "\n"
    }
    if (differs) printf "*%s\n%s%s%sCOMMIT\n", t, head, body, gone
  }
}
"""
