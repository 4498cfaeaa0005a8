# Where things are. Sourced by every script in hack/.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
STATE=$ROOT/.local-cluster
PKI=$STATE/pki
LOGS=$STATE/logs
PIDS=$STATE/pids
KUBECONFIG_ADMIN=$STATE/kubeconfig

. "$ROOT/deploy/lib/cluster.sh"

PROFILE=${FERROKUBE_PROFILE:-release}
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
# Cargo's directory of the profile `dev` is called `debug`.
BIN=$TARGET/$([ "$PROFILE" = dev ] && echo debug || echo "$PROFILE")

# Where Debian's package has the standard CNI plugins.
CNI_BIN=/usr/lib/cni
NODE_NAME=$(hostname | tr '[:upper:]' '[:lower:]')
BRIDGE=cbr0
# Joins the nodes of hack/local-up --nodes.
NODE_BRIDGE=fk-nodes
NODE_CIDR=172.30.99.0/24
NODE_NETWORK=172.30.99
ETCD_PORT=2379
# When kubelets evict. Not for want of disk: a developer's is often nearly full.
EVICTION='memory.available<100Mi'

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
