# Nodes beside this machine: each is a network namespace with a Docker daemon, a kubelet, kube-proxy and flanneld of its own. A bridge of this
# machine joins them; its first address is this machine's, which is a node, too, and has the control plane.
#
# A node's processes share a mount namespace, because volumes are bind mounts: `NAME` below is what holds it.

node_names() { ls "$STATE/nodes" 2>/dev/null || true; }
node_state() { echo "$STATE/nodes/$1"; }
node_address() { cat "$(node_state "$1")/ip"; }

# The network that flanneld is to make, by backend.
network_configuration() { printf '{"Network": "%s", "Backend": {"Type": "%s"}}\n' "$POD_CIDR" "$1"; }

make_node_bridge() {
  ip link show "$NODE_BRIDGE" >/dev/null 2>&1 || ip link add "$NODE_BRIDGE" type bridge
  ip addr replace "$NODE_NETWORK.1/24" dev "$NODE_BRIDGE"
  ip link set "$NODE_BRIDGE" up
  sysctl -qw net.ipv4.ip_forward=1
  # Docker's daemon drops what it does not know, on bridges of others, too.
  local rule=(FORWARD -i "$NODE_BRIDGE" -o "$NODE_BRIDGE" -m comment --comment "ferrokube nodes" -j ACCEPT)
  iptables -C "${rule[@]}" 2>/dev/null || iptables -I "${rule[@]}"
}

remove_node_bridge() {
  iptables -D FORWARD -i "$NODE_BRIDGE" -o "$NODE_BRIDGE" -m comment --comment "ferrokube nodes" -j ACCEPT 2>/dev/null || true
  ip link delete "$NODE_BRIDGE" 2>/dev/null || true
}

# `make_nodes N`: the second to the Nth, and a client outside of the cluster. Those that are there stay.
make_nodes() {
  local number name
  for number in $(seq 2 "$1"); do
    name=node-$number
    join_namespace "$name" "$number"
    mkdir -p "$(node_state "$name")/manifests"
    echo "$NODE_NETWORK.$number" >"$(node_state "$name")/ip"
    [ -e "$PKI/$name.crt" ] || make_node_credentials "$name" "$NODE_NETWORK.$number"
  done
  join_namespace outside 254
}

# A namespace on the bridge: `join_namespace NAME NUMBER`.
join_namespace() {
  local namespace=fk-$1
  [ -e "/run/netns/$namespace" ] || ip netns add "$namespace"
  if ! ip link show "fk-$2" >/dev/null 2>&1; then
    ip link add "fk-$2" type veth peer name eth0 netns "$namespace"
    ip link set "fk-$2" master "$NODE_BRIDGE" up
  fi
  ip -n "$namespace" link set lo up
  ip -n "$namespace" addr replace "$NODE_NETWORK.$2/24" dev eth0
  ip -n "$namespace" link set eth0 up
  ip -n "$namespace" route replace default via "$NODE_NETWORK.1"
  nsenter --net="/run/netns/$namespace" sysctl -qw net.ipv4.ip_forward=1
  nsenter --net="/run/netns/$namespace" sysctl -qw net.bridge.bridge-nf-call-iptables=1 || true
}

make_node_credentials() {
  certificate "$1" "/O=system:nodes/CN=system:node:$1" clientAuth,serverAuth "DNS:$1,IP:$2"
  kubeconfig "$PKI/$1.kubeconfig" "$1" "$NODE_NETWORK.1"
  kubeconfig "$PKI/proxy-of-nodes.kubeconfig" proxy "$NODE_NETWORK.1"
  kubeconfig "$PKI/flannel-of-nodes.kubeconfig" flannel "$NODE_NETWORK.1"
  chmod 600 "$PKI"/*.key "$PKI"/*.kubeconfig
}

# What holds a node's namespaces.
start_node_namespaces() {
  local namespace=/run/netns/fk-$1
  start "$1" nsenter --net="$namespace" unshare --mount --uts --propagation slave \
    sh -c "hostname $1; exec sleep infinity"
  wait_for 10 "the namespaces of $1" nodes_hold "$1"
}

# Whether the process has reached its own mount namespace.
nodes_hold() {
  is_running "$1" && [ "$(readlink "/proc/$(node_pid "$1")/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]
}
node_pid() { cut -d' ' -f1 "$PIDS/$1"; }

# `in_node NAME COMMAND…`, for `start`, too: what a process of a node begins with.
in_node() {
  local pid
  pid=$(node_pid "$1")
  shift
  nsenter --target "$pid" --mount --net --uts "$@"
}

# `start_in_node NAME DAEMON COMMAND…`
start_in_node() {
  local node=$1 daemon=$2
  shift 2
  start "$node.$daemon" nsenter --target "$(node_pid "$node")" --mount --net --uts "$@"
}

node_docker() { echo "unix://$(node_state "$1")/docker.sock"; }
node_docker_answers() { curl -sf --unix-socket "$(node_state "$1")/docker.sock" http://docker/_ping >/dev/null; }

start_node() {
  local name=$1 state ip
  state=$(node_state "$name")
  ip=$(node_address "$name")
  start_node_namespaces "$name"
  start_in_node "$name" docker dockerd --host "$(node_docker "$name")" --data-root "$state/docker" --exec-root "$state/docker-run" \
    --pidfile "$state/docker.pid" --bridge none --iptables=false --ip-masq=false
  wait_for 30 "Docker of $name" node_docker_answers "$name"
  local images=(ferrokube/demo:v1 ferrokube/demo:v2)
  ! dns_is_a_pod || images+=(ferrokube/kube-dns:v1)
  DOCKER_HOST=$(node_docker "$name") docker image inspect "${images[@]}" >/dev/null 2>&1 ||
    docker save "${images[@]}" | DOCKER_HOST=$(node_docker "$name") docker load >/dev/null
  start_node_daemon "$name" kubelet
  start_node_daemon "$name" flanneld
  start_node_daemon "$name" kube-proxy
}

# The command line of each daemon of a node.
start_node_daemon() {
  local name=$1 state ip
  state=$(node_state "$name")
  ip=$(node_address "$name")
  case $2 in
    kubelet)
      start_in_node "$name" kubelet "$BIN/kubelet" --kubeconfig "$PKI/$name.kubeconfig" --hostname-override "$name" --node-ip "$ip" \
        --docker-endpoint "$(node_docker "$name")" --eviction-hard "$EVICTION" --pod-logs-dir "$state/log/pods" --root-dir "$state/kubelet" --pod-manifest-path "$state/manifests" \
        --network-plugin kubenet --non-masquerade-cidr $POD_CIDR --cluster-dns $DNS_IP --cluster-domain $CLUSTER_DOMAIN \
        --anonymous-auth=false --client-ca-file "$PKI/ca.crt" --authentication-token-webhook=true \
        --authorization-mode Webhook --tls-cert-file "$PKI/$name.crt" --tls-private-key-file "$PKI/$name.key"
      ;;
    flanneld)
      start_in_node "$name" flanneld "$BIN/flanneld" --kube-subnet-mgr --kubeconfig-file "$PKI/flannel-of-nodes.kubeconfig" \
        --node-name "$name" --net-config-path "$STATE/net-conf.json" --iface eth0 --subnet-file "$state/subnet.env"
      ;;
    kube-proxy)
      start_in_node "$name" kube-proxy "$BIN/kube-proxy" --kubeconfig "$PKI/proxy-of-nodes.kubeconfig" --hostname-override "$name" \
        --cluster-cidr $POD_CIDR --healthz-bind-address 127.0.0.1:10256 --enforce-network-policies
      ;;
  esac
}

start_nodes() {
  local name
  for name in $(node_names); do start_node "$name"; done
}

# The kubelet first: what it no longer watches it cannot restart. Docker then ends its containers.
stop_node() {
  local daemon containers
  for daemon in kubelet kube-proxy flanneld; do stop "$1.$daemon"; done
  if node_docker_answers "$1"; then
    containers=$(DOCKER_HOST=$(node_docker "$1") docker ps -aq)
    # shellcheck disable=SC2086 # a list of ids
    [ -z "$containers" ] || DOCKER_HOST=$(node_docker "$1") docker rm -f $containers >/dev/null
  fi
  stop "$1.docker"
  stop "$1"
}

# Removes the nodes, and what a start that ended half-way left of them.
remove_nodes() {
  local name namespace link
  for name in $(node_names); do stop_node "$name"; done
  for namespace in $(ls /run/netns 2>/dev/null | grep -E '^fk-(node-[0-9]+|outside)$'); do ip netns del "$namespace"; done
  for link in $(ip -o link show master "$NODE_BRIDGE" 2>/dev/null | sed 's/^[0-9]*: \([^@:]*\).*/\1/'); do
    ip link delete "$link" 2>/dev/null || true
  done
}
