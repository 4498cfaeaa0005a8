# Installing what is missing, on Debian and Ubuntu.

# `ensure_packages COMMAND:PACKAGE…` installs the packages whose command is not there.
ensure_packages() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  [ ${#missing[@]} = 0 ] && return
  command -v apt-get >/dev/null || die "please install: ${missing[*]}"
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >/dev/null
  apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null
}

ensure_runtime_packages() {
  ensure_packages dockerd:docker.io iptables:iptables conntrack:conntrack ip:iproute2 \
    openssl:openssl curl:curl busybox:busybox-static
}

ensure_build_packages() {
  ensure_packages cc:build-essential protoc:protobuf-compiler curl:curl
  # protoc's own .proto files are in another package, which has no command.
  [ -e /usr/include/google/protobuf/any.proto ] || ensure_packages no-such-command:libprotobuf-dev
}

# Rust is looked for where rustup puts it, too: sudo drops the caller's PATH.
ensure_rust() {
  local home
  for home in "$HOME" "$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)"; do
    PATH=$PATH:$home/.cargo/bin
  done
  export PATH
  command -v cargo >/dev/null && return
  say "installing Rust"
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile default >/dev/null ||
    die "Rust cannot be installed; see https://rustup.rs"
}

# `ensure_cargo_tool NAME VERSION`: one of cargo's tools, prebuilt from PyPI where it is missing, because building it takes minutes.
ensure_cargo_tool() {
  local tools=$TARGET/tools/$1
  PATH=$PATH:$tools/bin
  command -v "$1" >/dev/null && return
  ensure_packages pip3:python3-pip
  say "installing $1"
  pip3 install --quiet --no-deps --disable-pip-version-check --root-user-action=ignore --target "$tools" --upgrade \
    "astral-dev-toolchain-$1==$2" >/dev/null || cargo install --quiet --locked "$1"
}
