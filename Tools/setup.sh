# Sourced by the tools beside it: checks the Swift toolchain and installs the system packages that are missing.

# say TEXT: one line of progress on standard error.
say() { printf '== %s\n' "$*" >&2; }

# require_swift: ends with advice when there is no Swift 6.
require_swift() {
  if ! command -v swift >/dev/null; then
    echo "Swift 6.3 is needed: https://www.swift.org/install/linux/" >&2
    exit 1
  fi
  local version
  # A toolchain that does not run is an unknown version; the error goes to the terminal.
  version=$(swift --version | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -1) || true
  case $version in
    6.[3-9] | 6.[1-9][0-9] | [7-9].* | [1-9][0-9].*) ;;
    *)
      echo "Swift 6.3 is needed, found ${version:-an unknown version}: https://www.swift.org/install/linux/" >&2
      exit 1
      ;;
  esac
}

# require_packages NAME...: installs those Debian packages that are not there, and asks nothing.
require_packages() {
  local missing=() package
  for package in "$@"; do
    if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$'; then
      missing+=("$package")
    fi
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "These packages are missing and there is no sudo; install them as root: ${missing[*]}" >&2
      exit 1
    fi
    root=(sudo)
  fi
  say "installing ${missing[*]}"
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get)
  "${root[@]}" "${install[@]}" update -qq </dev/null >&2
  "${root[@]}" "${install[@]}" install -y -qq --no-install-recommends "${missing[@]}" </dev/null >&2
}

# What Cairn is built with.
build_packages=(liblmdb-dev libzstd-dev libnghttp2-dev zlib1g-dev pkg-config)

# How what is shipped is built. With the Swift runtime linked in, the binary runs where no Swift is installed, starts in
# half the time and takes 7 MiB less memory.
product_options=(-c release --static-swift-stdlib)
