# One authority; a certificate for every part; kubeconfigs made from them; the key of service accounts' tokens.

# `certificate NAME SUBJECT USAGE [SUBJECT-ALTERNATIVE-NAMES]`
certificate() {
  local name=$1 subject=$2 usage=$3 names=${4:-}
  local extensions="basicConstraints=CA:FALSE
keyUsage=digitalSignature,keyEncipherment
extendedKeyUsage=$usage"
  [ -z "$names" ] || extensions="$extensions
subjectAltName=$names"
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" \
    -keyout "$PKI/$name.key" -out "$PKI/$name.csr" 2>/dev/null
  openssl x509 -req -in "$PKI/$name.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -days 365 -set_serial "0x$(openssl rand -hex 8)" \
    -extfile <(printf '%s\n' "$extensions") -out "$PKI/$name.crt" 2>/dev/null
  rm "$PKI/$name.csr"
}

# `kubeconfig FILE CERTIFICATE-NAME [HOST]`
kubeconfig() {
  cat >"$1" <<YAML
apiVersion: v1
kind: Config
clusters:
- name: ferrokube
  cluster:
    server: https://${3:-127.0.0.1}:$SECURE_PORT
    certificate-authority: $PKI/ca.crt
users:
- name: $2
  user:
    client-certificate: $PKI/$2.crt
    client-key: $PKI/$2.key
contexts:
- name: ferrokube
  context: {cluster: ferrokube, user: $2}
current-context: ferrokube
YAML
}

make_pki() {
  local ip=$1
  mkdir -p "$PKI"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=ferrokube-ca \
    -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$PKI/ca.key" -out "$PKI/ca.crt" 2>/dev/null
  local server="DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  server="$server,DNS:kubernetes.default.svc.$CLUSTER_DOMAIN,DNS:$NODE_NAME,IP:127.0.0.1,IP:$KUBERNETES_IP,IP:$ip"
  certificate apiserver /CN=kube-apiserver serverAuth "$server"
  certificate apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
  certificate admin /O=system:masters/CN=kubernetes-admin clientAuth
  certificate controller-manager /CN=system:kube-controller-manager clientAuth
  certificate scheduler /CN=system:kube-scheduler clientAuth
  certificate proxy /CN=system:kube-proxy clientAuth
  certificate dns /CN=system:kube-dns clientAuth
  certificate flannel /CN=system:flannel clientAuth
  certificate kubelet "/O=system:nodes/CN=system:node:$NODE_NAME" clientAuth,serverAuth "DNS:$NODE_NAME,IP:127.0.0.1,IP:$ip"
  openssl genrsa -out "$PKI/service-account.key" 2048 2>/dev/null
  openssl rsa -in "$PKI/service-account.key" -pubout -out "$PKI/service-account.pub" 2>/dev/null
  local part
  for part in controller-manager scheduler proxy dns flannel kubelet; do
    kubeconfig "$PKI/$part.kubeconfig" "$part"
  done
  kubeconfig "$KUBECONFIG_ADMIN" admin
  chmod 600 "$PKI"/*.key "$PKI"/*.kubeconfig "$KUBECONFIG_ADMIN"
}
