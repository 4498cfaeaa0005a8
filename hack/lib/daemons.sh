# Starting and stopping daemons; each has a supervisor, pid files and a log.

. "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

# Whether kube-dns is no daemon of this machine, but pods.
dns_is_a_pod() { [ "$(cat "$STATE/dns" 2>/dev/null)" = pod ]; }

is_running() { runs "$PIDS/$1"; }

# `start NAME COMMAND…`: in a session of its own, so that it outlives this shell, and again whenever it ends.
start() {
  local name=$1
  shift
  ! runs "$PIDS/$name.supervisor" || return 0
  mkdir -p "$LOGS" "$PIDS"
  setsid hack/lib/supervise "$PIDS/$name" "$@" </dev/null >>"$LOGS/$name.log" 2>&1 &
  local pid=$!
  echo "$pid $(start_time $pid)" >"$PIDS/$name.supervisor"
}

# `stop NAME`: asks, waits up to 20 s, insists.
stop() {
  local pid file
  if runs "$PIDS/$1.supervisor"; then
    read -r pid _ <"$PIDS/$1.supervisor"
    kill "$pid" 2>/dev/null || true
    local deadline=$(($(date +%s) + 20))
    while runs "$PIDS/$1.supervisor" && [ "$(date +%s)" -lt "$deadline" ]; do sleep 0.05; done
  fi
  for file in "$PIDS/$1.supervisor" "$PIDS/$1"; do
    ! runs "$file" || kill -9 "$(cut -d' ' -f1 "$file")" 2>/dev/null || true
  done
  rm -f "$PIDS/$1" "$PIDS/$1.supervisor"
}

# The command line of each daemon. `start_daemon NAME` starts one: after a crash, or for a test.
start_daemon() {
  local ip
  ip=$(cat "$STATE/node-ip")
  case $1 in
    etcd)
      start etcd etcd --data-dir "$STATE/etcd" --log-level warn \
        --listen-client-urls "http://127.0.0.1:$ETCD_PORT" --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" \
        --listen-peer-urls http://127.0.0.1:2380
      ;;
    kube-apiserver)
      local storage=(--data-dir "$STATE/apiserver")
      [ "$(cat "$STATE/storage")" = embedded ] || storage=(--etcd-servers "http://127.0.0.1:$ETCD_PORT")
      start kube-apiserver "$BIN/kube-apiserver" "${storage[@]}" \
        --advertise-address "$ip" --secure-port $SECURE_PORT --service-cluster-ip-range $SERVICE_CIDR \
        --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/apiserver.key" --client-ca-file "$PKI/ca.crt" \
        --kubelet-client-certificate "$PKI/apiserver-kubelet-client.crt" \
        --kubelet-client-key "$PKI/apiserver-kubelet-client.key" --kubelet-certificate-authority "$PKI/ca.crt" \
        --service-account-issuer "https://kubernetes.default.svc.$CLUSTER_DOMAIN" \
        --service-account-key-file "$PKI/service-account.pub" \
        --service-account-signing-key-file "$PKI/service-account.key" \
        --requestheader-client-ca-file "$PKI/front-proxy-ca.crt" --requestheader-allowed-names front-proxy-client \
        --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
        --requestheader-extra-headers-prefix X-Remote-Extra- \
        --proxy-client-cert-file "$PKI/front-proxy-client.crt" --proxy-client-key-file "$PKI/front-proxy-client.key" \
        --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --enable-bootstrap-token-auth \
        --encryption-provider-config "$PKI/encryption.yaml" --audit-policy-file deploy/audit-policy.yaml \
        --audit-log-path "$LOGS/audit.log" --audit-log-mode batch \
        --audit-log-maxage 30 --audit-log-maxbackup 10 --audit-log-maxsize 100
      ;;
    kube-controller-manager)
      start kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig "$PKI/controller-manager.kubeconfig" \
        --leader-elect=false --allocate-node-cidrs=true --cluster-cidr $POD_CIDR --service-cluster-ip-range $SERVICE_CIDR \
        --root-ca-file "$PKI/ca.crt" --service-account-private-key-file "$PKI/service-account.key" \
        --controllers '*,bootstrapsigner,tokencleaner' --load-balancer-addresses "$(cat "$STATE/load-balancers")" \
        --cluster-signing-cert-file "$PKI/ca.crt" --cluster-signing-key-file "$PKI/ca.key" \
        --bind-address 127.0.0.1 --client-ca-file "$PKI/ca.crt"
      ;;
    kube-scheduler)
      start kube-scheduler "$BIN/kube-scheduler" --kubeconfig "$PKI/scheduler.kubeconfig" \
        --leader-elect=false --bind-address 127.0.0.1 --client-ca-file "$PKI/ca.crt"
      ;;
    flanneld)
      start flanneld "$BIN/flanneld" --kube-subnet-mgr --kubeconfig-file "$PKI/flannel.kubeconfig" --node-name "$NODE_NAME" \
        --net-config-path "$STATE/net-conf.json" --iface "$NODE_BRIDGE" --subnet-file "$STATE/subnet.env"
      ;;
    kubelet)
      mkdir -p "$STATE/manifests"
      local runtime=()
      [ "$(cat "$STATE/runtime" 2>/dev/null)" != containerd ] ||
        runtime=(--container-runtime-endpoint "unix://$STATE/containerd/containerd.sock" --cni-conf-dir "$STATE/containerd/net.d")
      start kubelet "$BIN/kubelet" "${runtime[@]}" --kubeconfig "$PKI/kubelet.kubeconfig" --hostname-override "$NODE_NAME" --node-ip "$ip" \
        --eviction-hard "$EVICTION" --pod-logs-dir "$STATE/log/pods" --root-dir "$STATE/kubelet" --pod-manifest-path "$STATE/manifests" --network-plugin kubenet --non-masquerade-cidr $POD_CIDR \
        --cluster-dns $DNS_IP --cluster-domain $CLUSTER_DOMAIN --anonymous-auth=false --client-ca-file "$PKI/ca.crt" \
        --authentication-token-webhook=true --authorization-mode Webhook \
        --tls-cert-file "$PKI/kubelet.crt" --tls-private-key-file "$PKI/kubelet.key"
      ;;
    kube-proxy)
      start kube-proxy "$BIN/kube-proxy" --kubeconfig "$PKI/proxy.kubeconfig" --hostname-override "$NODE_NAME" \
        --cluster-cidr $POD_CIDR --healthz-bind-address 127.0.0.1:10256 --enforce-network-policies
      ;;
    kube-dns)
      start kube-dns "$BIN/kube-dns" --kubeconfig "$PKI/dns.kubeconfig" --cluster-domain $CLUSTER_DOMAIN \
        --bind-address "$ip" --dns-port $DNS_PORT --allowed-clients "127.0.0.0/8,$(node_ip)/32,$ip/32,$NODE_CIDR,$POD_CIDR"
      ;;
    *) die "no daemon is called $1" ;;
  esac
}

docker_answers() { curl -sf --unix-socket /var/run/docker.sock http://docker/_ping >/dev/null; }

# Starts Docker unless it runs.
ensure_docker() {
  docker_answers && return
  say "starting Docker"
  if [ -d /run/systemd/system ]; then
    systemctl start docker
  else
    start docker dockerd
  fi
  wait_for 30 "Docker" docker_answers
}

# Docker is stopped only if it was started here, with the bridge and the rules it made.
stop_docker() {
  [ -e "$PIDS/docker" ] || return 0
  stop docker
  ip link delete docker0 2>/dev/null || true
  local table
  for table in nat filter; do
    iptables-save -t $table 2>/dev/null | grep -v -i docker | iptables-restore -T $table 2>/dev/null || true
  done
  iptables -P FORWARD ACCEPT
}
