# prepare.sh: installs what bin/test and bin/demo need, once. Source it and call `prepare SALT...`.
#
# Nothing is installed on the machine but the packages that _packages names; all else goes into the cache.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dualstack
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# prepare SALT...: makes the lab and a virtual environment for each release of Salt (3006, 3008), and says where
# they are: LAB_ROOT, LAB_CACHE, LAB_WHEELS, and `salt_python SALT`.
prepare() {
  [ "$(id -u)" = 0 ] || { echo "This needs root: the lab is made of namespaces and mounts." >&2; return 1; }
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock 9 # another run may be preparing the same
  _packages
  LAB_ROOT=$cache/root-$(_root | _digest)
  "$repository/tests/lab/root.sh" "$LAB_ROOT"
  local salt
  for salt in "$@"; do
    _environment "$salt"
  done
  LAB_WHEELS=$cache/wheels
  [ -e "$LAB_WHEELS" ] ||
    _with_lab_programs "$(salt_python "$1")" -m pip download -q --no-deps -d "$LAB_WHEELS" netaddr
  LAB_CACHE=$cache
  export LAB_ROOT LAB_CACHE LAB_WHEELS
  exec 9>&-
}

# salt_python SALT: the Python of the virtual environment with this release of Salt. It is the lab's own Python, which
# the guest and the enclosure have; the machine may have another one.
salt_python() {
  echo "$cache/salt-$1-$({ _requirements "$1"; _root; } | _digest)/bin/python"
}

# What a virtual environment holds: the dependencies and the test tools of setup.cfg, one a line. Not the project
# itself: the tests are to see the files of the repository.
_requirements() {
  /usr/bin/python3 - "$repository/setup.cfg" "$1" <<'PYTHON'
import configparser, sys
setup = configparser.ConfigParser()
setup.read(sys.argv[1])
wanted = setup["options"]["install_requires"] + setup["options.extras_require"]["test"]
others = [line for line in wanted.split() if not line.startswith("salt>")]
print(f"salt~={sys.argv[2]}.0", *others, sep="\n")
PYTHON
}

# What the tests' Debian is made by.
_root() {
  cat "$repository"/tests/lab/{root,kernel}.sh
}

_digest() {
  sha256sum | cut -c1-12
}

# Each of these programs is in the package of its name. Every Debian has the rest: bash, coreutils, util-linux.
_packages() {
  local each missing=()
  for each in mmdebstrap mount python3; do
    [ -x "/usr/bin/$each" ] || missing+=("$each")
  done
  [ ${#missing[@]} = 0 ] && return
  echo "Installing ${missing[*]} ..."
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

_environment() {
  local python folder
  python=$(salt_python "$1")
  folder=$(dirname "$(dirname "$python")")
  [ -e "$folder/.complete" ] && return
  echo "Installing Salt $1 and the test tools in $folder (once, about a minute) ..."
  rm -rf "$folder"
  _with_lab_programs python3 -m venv "$folder"
  _with_lab_programs "$python" -m pip install -q --disable-pip-version-check wheel
  _with_lab_programs "$python" -m pip install -q --disable-pip-version-check -r <(_requirements "$1")
  touch "$folder/.complete"
}

# _with_lab_programs COMMAND...: runs it on the machine, with its files, its network and its settings of pip, but with
# the programs and libraries of the lab: the Python that the virtual environments are for, and the compiler that builds
# what has no wheel.
_with_lab_programs() {
  unshare --mount bash -ec '
    mount --bind -o ro "$0/usr" /usr
    PATH=/usr/sbin:/usr/bin exec "$@"' "$LAB_ROOT" "$@"
}
