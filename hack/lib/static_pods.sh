# The control plane and kube-proxy as static pods: the manifests of deploy/, with this cluster's folders in place of the usual ones.

# Whether the daemons are no processes of this machine, but static pods.
has_static_pods() { [ -e "$STATE/static-pods" ]; }

static_pods() {
  [ "$(cat "$STATE/storage")" = embedded ] || echo etcd
  printf '%s\n' kube-apiserver kube-controller-manager kube-scheduler kube-proxy addons
}

make_static_pod_images() {
  local pod
  for pod in $(static_pods); do
    [ "$pod" != addons ] || pod=ctl
    say "the image of $pod"
    hack/daemon-image "$pod" >>"$STATE/daemon-images.log" 2>&1 || die "the image of $pod: see $STATE/daemon-images.log"
  done
}

# What the pod `addons` brings into the API.
write_addons() {
  mkdir -p "$STATE/addons"
  cp deploy/rbac.yaml deploy/local-path.yaml "$STATE/addons/"
  fill_in deploy/kube-dns-deployment.yaml "$(cat "$STATE/node-ip")" >"$STATE/addons/kube-dns.yaml"
}

write_manifests() {
  local pod changes
  mkdir -p "$STATE/manifests"
  changes="s#hostPath: {path: /etc/kubernetes/pki#hostPath: {path: $PKI#
    s#hostPath: {path: /etc/kubernetes/addons#hostPath: {path: $STATE/addons#
    s#hostPath: {path: /var/lib/kube-apiserver#hostPath: {path: $STATE/apiserver#
    s#hostPath: {path: /var/lib/etcd#hostPath: {path: $STATE/etcd#
    s#--load-balancer-addresses=nodes#--load-balancer-addresses=$(cat "$STATE/load-balancers")#"
  [ "$(cat "$STATE/storage")" = embedded ] ||
    changes="$changes; s#--data-dir=/var/lib/kube-apiserver#--etcd-servers=http://127.0.0.1:$ETCD_PORT#"
  for pod in $(static_pods); do
    # Whoever watches the folder sees whole manifests only.
    sed "$changes" "deploy/manifests/$pod.yaml" >"$STATE/$pod.yaml.new"
    mv "$STATE/$pod.yaml.new" "$STATE/manifests/$pod.yaml"
  done
}

# Docker runs already; the kubelet is all that is started.
start_static_pods() {
  write_addons
  write_manifests
  start_daemon kubelet
  wait_for 60 "the API server" apiserver_ready
}
