# Where things are. Sourced by every script in hack/.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
STATE=$ROOT/.local-cluster
PKI=$STATE/pki
LOGS=$STATE/logs
PIDS=$STATE/pids
KUBECONFIG_ADMIN=$STATE/kubeconfig

PROFILE=${FERROKUBE_PROFILE:-release}
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
# Cargo's directory of the profile `dev` is called `debug`.
BIN=$TARGET/$([ "$PROFILE" = dev ] && echo debug || echo "$PROFILE")

NODE_NAME=$(hostname | tr '[:upper:]' '[:lower:]')
SERVICE_CIDR=10.96.0.0/16
POD_CIDR=10.244.0.0/16
KUBERNETES_IP=10.96.0.1
DNS_IP=10.96.0.10
DNS_PORT=10053
CLUSTER_DOMAIN=cluster.local
BRIDGE=cbr0
# Joins the nodes of hack/local-up --nodes.
NODE_BRIDGE=fk-nodes
NODE_CIDR=172.30.99.0/24
NODE_NETWORK=172.30.99
SECURE_PORT=6443
ETCD_PORT=2379

# The address other nodes would reach this one at; loopback on a machine without a network.
node_ip() {
  ip -4 route get 1.1.1.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p' | grep . || echo 127.0.0.1
}

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

need_root() {
  [ "$(id -u)" = 0 ] || die "this needs root: sudo $0"
}

# Waits until a command succeeds: `wait_for SECONDS WHAT COMMAND…`.
wait_for() {
  local limit=$1 what=$2 deadline
  shift 2
  deadline=$(($(date +%s) + limit))
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -lt "$deadline" ] || die "$what: not within ${limit} s; logs are in $LOGS"
    sleep 0.05
  done
}
