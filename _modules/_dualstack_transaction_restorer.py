r"""
The restorer: a program in plain sh that puts this host back as it was before a run, from the run's journal alone.

It needs neither Salt nor Python, since what has died may be these. It is started before the first change, and runs
beside the run; for whoever needs it later, it is written into the folder of the transaction. :py:data:`TEXT`:

* ``watch PID START``: wait until this process's run is confirmed, or else restore
* ``now``: restore at once, for a run whose restorer has died as well
* ``boot``: restore the files before the boot uses them
* ``clean``: take away what a confirmed run needed

Each entry of the journal is a file of calls: ``file``, ``mode``, ``sets``, ``rules``, ``newsets``, ``link``,
``parameter``, ``service``, and ``undone``; their first words are the number of the step and the part of the host. There
are several rounds over all entries, the newest first: access comes back first, services last. In each, the functions of
the others do nothing.
"""

from __future__ import annotations

NAME = "restorer"

TEXT = r"""#!/bin/sh
# Puts this host back as it was before a run of the Salt formula ipv6 that was not confirmed. Written by that run.
# What it reads, and who calls it, is described in _dualstack_transaction_restorer.py.

LC_ALL=C
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin # the system's own first: what failed may be another's
export LC_ALL PATH
umask 077
D=/var/lib/dualstack/transaction
RUN=/run/dualstack
PAUSE=0.5

say() {
  line=$*
  printf '%s\n' "$line" >>"$RUN/restored.new" 2>/dev/null
  logger -t dualstack -- "$line" 2>/dev/null || :
}

failed() {
  : >"$RUN/restored.failed" 2>/dev/null
  say "could not be put back: $*"
}

# -------------------------------------------------------------------------------------------------------------
# The run

# started PID: field 22 of proc(5), in STARTED; empty if it has ended. (A substitution would cost a process each time.)
started() {
  about= STARTED=
  read -r about 2>/dev/null <"/proc/$1/stat" || return 0
  set -- ${about##*) }
  case $1 in Z | X) return 0 ;; esac
  STARTED=${20}
}

is_alive() {
  [ "$1" -gt 0 ] && started "$1" && [ "$STARTED" = "$2" ]
}

holder() {
  pid=0 start=0 jid= since= name=
  [ ! -e "$D/holder" ] || . "$D/holder"
}

uptime_now() {
  read -r up _ </proc/uptime
  up=${up%.*}
}

# What the run has started: its descendants, and the sessions of its commands, also of those that it has left behind. A
# daemon has a session of its own by now, and stays. The number of a session may be used again: then by a later process.
members() {
  cat /proc/[0-9]*/stat 2>/dev/null | awk -v root="$pid" -v start="$start" -v self=$$ \
    -v commands="$(tr '\n' ' ' <"$D/commands" 2>/dev/null)" '
    BEGIN {
      split(commands, list, " ")
      for (i in list) { split(list[i], each, ":"); sessions[each[1]] = each[2] }
    }
    { id = $1; sub(/^.*\) /, ""); if ($1 != "Z" && $1 != "X") { parent[id] = $2; session[id] = $4; begun[id] = $20 } }
    END {
      if (root > 0 && root in begun && begun[root] == start) found[root]
      for (id in session) {
        leader = session[id]
        if (!(leader in sessions) || begun[id] < sessions[leader]) continue
        if (!(leader in begun) || begun[leader] == sessions[leader]) found[id]
      }
      do {
        more = 0
        for (id in parent) if (!(id in found) && parent[id] in found) { found[id]; more = 1 }
      } while (more)
      for (id in found) if (id != self) print id
    }'
}

end_run() {
  tries=0
  while found=$(members); [ -n "$found" ] && [ "$tries" -lt 50 ]; do
    for id in $found; do kill -KILL "$id" 2>/dev/null; done
    tries=$((tries + 1))
    sleep 0.05
  done
}

# -------------------------------------------------------------------------------------------------------------
# What the entries call. ROUND says which of them do something.

skipped() {
  case "$UNDONE" in *" $1 "*) return 0 ;; esac
  [ -n "$PARTS" ] && case " $PARTS " in *" $2 "*) false ;; esac
}

undone() { UNDONE="$UNDONE $1 "; }

digest() { [ -f "$1" ] && [ ! -L "$1" ] && sha256sum <"$1" | cut -d ' ' -f 1; }

# file STEP PART PATH KEPT OLD NEW FOLDER: the digests of the text before the run, and of those since, `-` for no file;
# FOLDER is the topmost new one
file() {
  path=$3 kept=$4 old=$5 new=$6 folder=$7
  case $ROUND in
  files) skipped "$1" "$2" && return 0 ;;
  sweep) ;;
  *) return 0 ;;
  esac
  if [ "$ROUND" = files ]; then
    now=$(digest "$path")
    now=${now:--}
    if [ "$now" = "$old" ] && { [ ! -e "$kept" ] || [ "$path" -ef "$kept" ]; }; then
      :
    elif case " $old $new " in *" $now "*) false ;; esac; then
      say "$path has been changed by somebody else meanwhile: that was left as it is"
    elif [ "$old" = - ]; then
      rm -f -- "$path" || failed "$path"
      told="$told $path"
    elif [ -e "$kept" ]; then
      mv -f -- "$kept" "$path" || failed "$path"
      told="$told $path"
    else
      failed "$path: somebody has removed $kept"
    fi
    sync "$(dirname "$path")" 2>/dev/null
  fi
  for each in kept old new; do rm -f -- "${kept%kept}$each"; done # what was beside the file
  if [ "$old" = - ] && [ -n "$folder" ]; then
    empty=$(dirname "$path")
    while case "$empty/" in "$folder"/*) rmdir -- "$empty" 2>/dev/null ;; *) false ;; esac; do
      empty=$(dirname "$empty")
    done
  fi
}

# mode STEP PART PATH OLD NEW: octal permissions
mode() {
  [ "$ROUND" = files ] || return 0
  skipped "$1" "$2" && return 0
  [ "$(stat -c %a -- "$3" 2>/dev/null)" != "$5" ] || chmod "$4" -- "$3" || failed "the mode of $3"
}

# sets STEP PART NAME...: sets of ipset(8) as they were are in $E.NAME.set, there called dualstack-back; rules name them
sets() {
  [ "$ROUND" = rules ] || return 0
  skipped "$1" "$2" && return 0
  shift 2
  for each in "$@"; do
    ipset -q destroy dualstack-back
    if said=$(timeout 20 ipset restore <"$E.$each.set" 2>&1) && {
      ipset -q swap dualstack-back "$each" || { # it is gone, or of another type by now
        ipset -q destroy "$each"
        said=$(ipset rename dualstack-back "$each" 2>&1)
      }
    }; then
      told="$told set $each"
    else
      failed "the set $each: $said"
    fi
    ipset -q destroy dualstack-back
  done
}

# newsets STEP PART NAME...: sets that were made for rules that are gone by now
newsets() {
  [ "$ROUND" = rules ] || return 0
  skipped "$1" "$2" && return 0
  shift 2
  for each in "$@"; do
    ipset -q list -n "$each" >/dev/null || continue
    if ipset -q destroy "$each"; then told="$told set $each"; else say "the set $each stays: something uses it"; fi
  done
}

# rules STEP PART FAMILY SAVE RESTORE: the tables as they were are in $E.FAMILY.before, and as they were to be in .after
rules() {
  [ "$ROUND" = rules ] || return 0
  skipped "$1" "$2" && return 0
  tries=0
  while [ "$tries" -lt 5 ]; do # others may change the rules in between
    tries=$((tries + 1)) said="they could not be read, or not be compared"
    if ! live=$(timeout 5 "$4") ||
      ! script=$(printf '%s\n' "$live" | awk -f "$D/rules.awk" "$E.$3.before" "$E.$3.after" -); then
      sleep 0.2
      continue
    fi
    [ -n "$script" ] || return 0
    said=$(printf '%s\n' "$script" | timeout 8 "$5" --noflush -w 5 2>&1) && told="$told $3" && return 0
    sleep 0.2
  done
  failed "the rules of $3: $said"
}

# link STEP PART NAME HAD CHANGEABLE UP DOWN RENDER: the commands of ip(8) that restore it are in $E.link; RENDER, if
# any, is of one that stays, once its files are as they were
link() {
  [ "$ROUND" = links ] || return 0
  skipped "$1" "$2" && return 0
  if [ "$4" = no ]; then
    ip link del dev "$3" 2>/dev/null
    timeout -k 1 5 sh -c "$7" >/dev/null 2>&1 # the network stack forgets it as well
    ip link del dev "$3" 2>/dev/null
    ! is_there "$3" || failed "the interface $3"
  elif [ "$5" = no ] || ! is_there "$3"; then
    timeout -k 1 5 sh -c "$7" >/dev/null 2>&1
    ip link del dev "$3" 2>/dev/null
    again files "$2"
    timeout -k 1 8 sh -c "$6" >/dev/null 2>&1
    carry_out "$3"
    is_there "$3" || failed "the interface $3"
  else
    carry_out "$3"
    [ -z "$8" ] || {
      again files "$2"
      timeout -k 1 8 sh -c "$8" >/dev/null 2>&1 || failed "what is rendered for $3"
    }
  fi
  told="$told $3"
}

# is_there NAME: whether there is an interface, also where ip(8) says nothing
is_there() {
  sed 's/^ *//; s/:.*//' /proc/net/dev | grep -qxF -- "$1"
}

# carry_out NAME: the commands in $E.link; what is there or gone already was not changed yet
carry_out() {
  while read -r words; do
    said=$(eval "timeout -k 1 5 $words" 2>&1 </dev/null) && continue
    case $said in
      *"File exists"* | *"Cannot assign requested address"* | *"No such process"* | *"not found"*) ;;
      *"No buffer space available"*) ;; # a tunnel of these ends is there
      *"Cannot find device"*) ;; # then it is missing at the end, too
      *) failed "the interface $1: '$words' said: $said" ;;
    esac
  done <"$E.link"
}

# parameter STEP PART FILE OLD: below /proc/sys
parameter() {
  [ "$ROUND" = parameters ] || return 0
  skipped "$1" "$2" && return 0
  now=$(cat "$3" 2>/dev/null)
  [ "$(echo $now)" = "$(echo $4)" ] && return 0
  if [ -z "$4" ]; then
    say "$3 had no value, and keeps this one until the next boot"
  elif printf '%s\n' "$4" >"$3" 2>/dev/null; then
    told="$told $3"
  else
    failed "$3"
  fi
}

# service STEP PART NAME INIT PATIENCE RESTART: a service that ran; RESTART are commands of its own for that
service() {
  [ "$ROUND" = services ] || return 0
  skipped "$1" "$2" && return 0
  name=$3 init=$4 patience=$5 restart=$6
  grep -qsxF -- "$name" "$D/stopped" || return 0 # it was not touched yet
  case " $SERVED " in *" $name "*) return 0 ;; esac
  SERVED="$SERVED $name"
  told="$told $name"
  serve & # each by its own time
}

serve() {
  if [ -n "$restart" ]; then
    quietly "$patience" sh -c "$restart" || failed "the service $name"
    return
  fi
  tries=0
  while [ "$tries" -lt 3 ]; do
    tries=$((tries + 1))
    if [ "$name" != ssh ]; then # who is logged in needs sshd until another one is there
      quietly "$patience" service "$init" stop
      [ "$tries" = 1 ] || quietly 5 systemctl kill -s KILL "$init"
    elif quietly 5 systemctl is-active "$init" || quietly 5 service "$init" status; then
      quietly "$patience" service "$init" reload || quietly "$patience" service "$init" restart
    fi
    quietly 5 systemctl reset-failed "$init"
    quietly "$patience" service "$init" start
    quietly 10 service "$init" status && return
    sleep 1
  done
  failed "the service $name: it does not run; say 'service $init start'"
}

quietly() {
  seconds=$1
  shift
  command -v "$1" >/dev/null || return
  ( # a daemon is not to be what the restorer is: private, and the last that the kernel ends
    umask 022
    echo 0 2>/dev/null >/proc/self/oom_score_adj
    exec timeout -k 2 "$seconds" "$@" </dev/null >/dev/null 2>&1
  )
}

# -------------------------------------------------------------------------------------------------------------
# Rounds

entries() { ls -r "$D/entries" 2>/dev/null | grep -x '[0-9]*'; }

round() {
  ROUND=$1 UNDONE= SERVED= told=
  for E in $(entries); do
    E=$D/entries/$E
    [ ! -f "$E" ] || . "$E"
  done
  [ -z "$told" ] || say "$ROUND:$told"
}

# again ROUND PART: a part's round within another one
again() {
  (PARTS=$2 && round "$1")
}

restore() {
  rm -f "$RUN/restored.failed"
  : >"$RUN/restored.new" 2>/dev/null
  what=$name
  [ "$pid" = 0 ] || what="process $pid${name:+, $name}"
  say "the run${jid:+ $jid} ($what) is put back: $1"
  ls "$D/entries" >/dev/null 2>&1 || failed "its journal cannot be read"
  for E in $(entries); do [ -f "$D/entries/$E" ] || failed "step $E: it cannot be read"; done
  for each in $2; do round "$each"; done
  wait
  if [ -e "$RUN/restored.failed" ]; then say "not everything is as it was"; else say "everything is as it was"; fi
  rm -f "$RUN/restored.failed"
}

ALL="rules links files parameters services"

finish() {
  mkdir -p "$RUN"
  mv -f "$RUN/restored.new" "$RUN/restored" 2>/dev/null
  clean
  rm -f "$RUN/asked"
}

# What a run that was killed has noted of files that it was about to make
forget() {
  for record in "${D%/*}"/*.files; do
    [ -e "$record" ] && ! grep -q % "$record" || continue # a name with strange bytes: the next run decodes it
    while read -r each; do
      case $each in /*/.*.dualstack-new | /*/.*.dualstack-old) rm -f -- "$each" ;; esac
    done <"$record"
    rm -f -- "$record"
  done
}

# What is read-only is taken away as a whole, once it is writable: if that comes about in the midst of this, next time.
clean() {
  writable=
  [ ! -w "$D" ] || writable=yes
  holder
  is_alive "$pid" "$start" || forget
  PARTS= && round sweep
  [ -z "$guard" ] || eval "$guard" >/dev/null 2>&1
  [ -z "$writable" ] || rm -rf -- "$D"
  rmdir "${D%/*}" 2>/dev/null
}

# one rename decides between the run, which confirms, and the restorer
# Where the folder cannot be written any more, nobody can confirm either.
take() {
  mv "$D/armed" "$D/restoring" 2>/dev/null || [ -e "$D/restoring" ] || [ ! -w "$D" ] || return 1
  sync "$D" 2>/dev/null || :
}

is_asked() { [ -e "$D/asked" ] || [ -e "$RUN/asked" ]; }

roll_back() {
  take || return 0
  holder
  is_asked || end_run
  restore "$1" "$ALL"
  DONE=yes
  notify=$event
  finish
  [ -z "$notify" ] || timeout -k 5 60 sh -c "$notify" >/dev/null 2>&1 </dev/null
}

part() { # only some parts of a run that goes on
  holder
  PARTS=$1
  restore "$2" "$ALL"
  mv -f "$RUN/restored.new" "$RUN/restored" 2>/dev/null
}

watch() {
  trap : HUP INT TERM # not ignored: the daemons that it starts would inherit that
  started $$
  me="$$ $STARTED" tries=0
  while [ ! -d "$D/entries" ]; do # the run is about to make it: whenever that is killed, nothing is left
    tries=$((tries + 1))
    is_alive "$1" "$2" && [ "$tries" -lt 500 ] || { rmdir "$D" "${D%/*}" 2>/dev/null; return; }
    sleep 0.02
  done
  echo "$me" >"$D/restorer.pid"
  while who= && read -r who 2>/dev/null <"$D/restorer.pid" && [ "$who" = "$me" ]; do # else it is another run's by now
    holder
    if [ -n "$DONE" ]; then
      clean # the folder is still there, since its file system is read-only
    elif [ -e "$D/restoring" ]; then
      roll_back "its restorer was killed"
    elif [ -e "$D/armed" ]; then
      uptime_now
      deadline=
      read -r deadline 2>/dev/null <"$D/deadline"
      if is_asked; then
        roll_back "$(cat "$D/asked" "$RUN/asked" 2>/dev/null)"
      elif [ -e "$D/end" ]; then # somebody else wants it: the run is ended as well
        roll_back "$(cat "$D/end")"
      elif [ -n "$deadline" ] && [ "$up" -ge "$deadline" ]; then
        why="it has made no progress for too long"
        [ "$pid" != 0 ] || why="nobody has confirmed it in time"
        roll_back "$why"
      elif [ "$pid" != 0 ] && ! is_alive "$pid" "$start"; then
        roll_back "it has died"
      fi
    elif { [ "$pid" = 0 ] && [ -e "$D/committed" ]; } || ! is_alive "${1:-$pid}" "${2:-$start}"; then
      clean # it was confirmed, or had changed nothing yet
    fi
    sleep "$PAUSE"
  done
}

boot() {
  [ -e "$D/armed" ] || [ -e "$D/restoring" ] || { clean; return; }
  mkdir -p "$RUN"
  take
  holder
  restore "this host was started again in the middle of it" files
  finish
}

guard= event= DONE=
mkdir -p "$RUN"
case $1 in
watch) watch "$2" "$3" ;;
now) roll_back "${2:-it has died, and so has its restorer}" ;;
part) part "$2" "$3" ;;
boot) boot ;;
clean) clean ;;
esac
exit 0
"""
