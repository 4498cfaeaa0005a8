# A containerd of the cluster's own, beside the machine's: hack/local-up --runtime containerd.

CONTAINERD=$STATE/containerd
CONTAINERD_SOCKET=$CONTAINERD/containerd.sock

# Whether pods run on containerd.
has_containerd() { [ "$(cat "$STATE/runtime" 2>/dev/null)" = containerd ]; }

in_containerd() { ctr --address "$CONTAINERD_SOCKET" --namespace k8s.io "$@"; }
containerd_answers() { in_containerd images ls -q; }

# The kubelet brings the image of sandboxes, and writes CNI's configuration.
configure_containerd() {
  mkdir -p "$CONTAINERD/net.d"
  cat >"$CONTAINERD/config.toml" <<TEXT
version = 2
root = "$CONTAINERD/root"
state = "$CONTAINERD/state"
[grpc]
address = "$CONTAINERD_SOCKET"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "ferrokube/pause:1"
# Machines that do not let root lower it exist, see crates/kubelet/src/runtime/host.rs.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "$CNI_BIN"
conf_dir = "$CONTAINERD/net.d"
[plugins."io.containerd.internal.v1.opt"]
path = "$CONTAINERD/opt"
TEXT
}

# Starts containerd, and gives it these images of Docker's.
ensure_containerd() {
  configure_containerd
  start containerd containerd --config "$CONTAINERD/config.toml"
  wait_for 30 "containerd" containerd_answers
  docker save "$@" | in_containerd images import - >/dev/null
}

# Ends its pods, which outlive it, and what connects them.
remove_containerd_pods() {
  local id namespace namespaces=()
  for id in $(in_containerd containers ls -q); do
    namespace=$(in_containerd containers info "$id" | grep -o '/var/run/netns/cni-[^"]*' | head -1) || true
    [ -z "$namespace" ] || namespaces+=("${namespace##*/}")
    in_containerd tasks rm -f "$id" >/dev/null 2>&1 || true
    in_containerd containers rm "$id" >/dev/null 2>&1 || true
    rm -f /var/lib/cni/results/*-"$id"-* /var/lib/cni/cache/results/*-"$id"-*
  done
  for namespace in $(printf '%s\n' "${namespaces[@]}" | sort -u); do ip netns del "$namespace" 2>/dev/null || true; done
  rm -rf "/var/lib/cni/networks/ferrokube-$BRIDGE"
}

stop_containerd() {
  has_containerd || return 0
  ! containerd_answers >/dev/null 2>&1 || remove_containerd_pods
  stop containerd
}
