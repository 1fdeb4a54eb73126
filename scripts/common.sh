# shellcheck shell=bash disable=SC2034
# common.sh: what demo.sh and test.sh share; sourced with the working folder at the root of the sources.
export CMAKE_COLOR_DIAGNOSTICS=OFF
jobs=$(nproc 2>/dev/null || echo 2)

step() { printf '== %s\n' "$*"; }

# The packages of the given tags that are not installed, on one line.
missing_packages() {
  local tags=" $* " name tag
  while read -r name tag; do
    case $name in '' | '#'*) continue ;; esac
    case $tags in *" $tag "*) ;; *) continue ;; esac
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || printf '%s ' "$name"
  done < scripts/packages.txt
}

# Installs what is missing of the given tags: as root, or with sudo where it asks for no password. Otherwise says what to
# run and exits with 3. Packages tagged `llvm`, `onnx` or `optional` may fail.
need_packages() {
  command -v dpkg-query > /dev/null || {
    step "not a Debian system: scripts/packages.txt lists what is needed; going on with what is here"
    return 0
  }
  local missing optional='' root='' required='' tag
  for tag in "$@"; do
    case $tag in
      llvm | onnx | optional) optional=$optional$(missing_packages "$tag") ;;
      *) required="$required $tag" ;;
    esac
  done
  # shellcheck disable=SC2086
  missing=$(missing_packages $required)
  [ -n "$missing$optional" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo > /dev/null && sudo -n true 2> /dev/null; then
      root='sudo -n'
    elif [ -z "$missing" ]; then
      return 0
    else
      printf 'These packages are missing; please run\n\n  sudo apt-get update && sudo apt-get install -y %s\n\nand start this script again.\n' \
        "$missing" >&2
      exit 3
    fi
  fi
  step "installing: $missing$optional"
  export DEBIAN_FRONTEND=noninteractive
  $root apt-get update -qq < /dev/null || echo "apt-get update failed; trying with the package lists that are here" >&2
  if [ -n "$missing" ]; then
    # shellcheck disable=SC2086
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing < /dev/null > /dev/null || {
      printf 'apt-get could not install: %s\n' "$missing" >&2
      exit 3
    }
  fi
  local one
  # shellcheck disable=SC2086
  [ -n "$optional" ] && $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $optional < /dev/null > /dev/null 2>&1 && return
  for one in $optional; do
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$one" < /dev/null > /dev/null 2>&1 ||
      echo "optional package $one cannot be had here; tests that need it are skipped"
  done
}

# Runs a command quietly; its output is shown only if it fails.
quietly() {
  local log
  log=$(mktemp)
  if "$@" > "$log" 2>&1 < /dev/null; then
    rm -f "$log"
    return 0
  fi
  tail -n 200 "$log" >&2
  rm -f "$log"
  return 1
}
