# prepare.sh: installs what bin/test and bin/demo need, once. Source it and call `prepare SALT...`.
#
# Nothing is installed on the machine but Debian's mmdebstrap and venv; all else goes into the cache.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dualstack
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=/usr/bin/python3 # the guest has the same one at the same place, so that both share the virtual environments

# prepare SALT...: makes the lab and a virtual environment for each release of Salt (3006, 3008), and says where
# they are: LAB_ROOT, LAB_CACHE, LAB_WHEELS, and `salt_python SALT`.
prepare() {
  [ "$(id -u)" = 0 ] || { echo "This needs root: the lab is made of namespaces and mounts." >&2; return 1; }
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock 9 # another run may be preparing the same
  _packages
  LAB_ROOT=$cache/root-$(_digest <"$repository/tests/lab/root.sh")
  "$repository/tests/lab/root.sh" "$LAB_ROOT"
  local salt
  for salt in "$@"; do
    _environment "$salt"
  done
  LAB_WHEELS=$cache/wheels
  [ -e "$LAB_WHEELS" ] || "$(salt_python "$1")" -m pip download -q --no-deps -d "$LAB_WHEELS" netaddr
  LAB_CACHE=$cache
  export LAB_ROOT LAB_CACHE LAB_WHEELS
  exec 9>&-
}

# salt_python SALT: the Python of the virtual environment with this release of Salt.
salt_python() {
  echo "$cache/salt-$1-$(_requirements "$1" | _digest)/bin/python"
}

# What a virtual environment holds: the dependencies and the test tools of setup.cfg, one a line. Not the project
# itself: the tests are to see the files of the repository.
_requirements() {
  $python - "$repository/setup.cfg" "$1" <<'PYTHON'
import configparser, sys
setup = configparser.ConfigParser()
setup.read(sys.argv[1])
wanted = setup["options"]["install_requires"] + setup["options.extras_require"]["test"]
others = [line for line in wanted.split() if not line.startswith("salt>")]
print(f"salt~={sys.argv[2]}.0", *others, sep="\n")
PYTHON
}

_digest() {
  sha256sum | cut -c1-12
}

_packages() {
  local missing=()
  command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
  $python -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  [ ${#missing[@]} = 0 ] && return
  echo "Installing ${missing[*]} ..."
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

_environment() {
  local folder
  folder=$(dirname "$(dirname "$(salt_python "$1")")")
  [ -e "$folder/.complete" ] && return
  echo "Installing Salt $1 and the test tools in $folder (once, about a minute) ..."
  rm -rf "$folder"
  $python -m venv "$folder"
  "$folder/bin/python" -m pip install -q --disable-pip-version-check wheel
  "$folder/bin/python" -m pip install -q --disable-pip-version-check -r <(_requirements "$1")
  touch "$folder/.complete"
}
