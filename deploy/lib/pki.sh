# An authority, and one for those who pass requests on; a certificate for every part; kubeconfigs made from them; the keys of service accounts' tokens and of what
# is stored encrypted. All are in $PKI.

# `authority NAME COMMON-NAME`
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$2" \
    -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$PKI/$1.key" -out "$PKI/$1.crt" 2>/dev/null
}

# `certificate NAME SUBJECT USAGE [SUBJECT-ALTERNATIVE-NAMES [AUTHORITY]]`
certificate() {
  local name=$1 subject=$2 usage=$3 names=${4:-} authority=${5:-ca}
  local extensions="basicConstraints=CA:FALSE
keyUsage=digitalSignature,keyEncipherment
extendedKeyUsage=$usage"
  [ -z "$names" ] || extensions="$extensions
subjectAltName=$names"
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" \
    -keyout "$PKI/$name.key" -out "$PKI/$name.csr" 2>/dev/null
  openssl x509 -req -in "$PKI/$name.csr" -CA "$PKI/$authority.crt" -CAkey "$PKI/$authority.key" -days 365 -set_serial "0x$(openssl rand -hex 8)" \
    -extfile <(printf '%s\n' "$extensions") -out "$PKI/$name.crt" 2>/dev/null
  rm "$PKI/$name.csr"
}

# `kubeconfig FILE CERTIFICATE-NAME [HOST]`: with the certificates in it, so that it works wherever it is mounted or copied to.
kubeconfig() {
  (umask 077 && cat >"$1") <<YAML
apiVersion: v1
kind: Config
clusters:
- name: ferrokube
  cluster:
    server: https://${3:-127.0.0.1}:$SECURE_PORT
    certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")
users:
- name: $2
  user:
    client-certificate-data: $(base64 -w0 "$PKI/$2.crt")
    client-key-data: $(base64 -w0 "$PKI/$2.key")
contexts:
- name: ferrokube
  context: {cluster: ferrokube, user: $2}
current-context: ferrokube
YAML
}

# Secrets are encrypted where they are stored; what an earlier cluster has left unencrypted is read.
encryption_configuration() {
  cat <<YAML
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox: {keys: [{name: first, secret: $(openssl rand -base64 32)}]}
  - identity: {}
YAML
}

# `make_pki IP`: all of a cluster whose first node has this address, in $PKI.
make_pki() {
  local ip=$1
  mkdir -p "$PKI"
  authority ca ferrokube-ca
  authority front-proxy-ca ferrokube-front-proxy-ca
  local server="DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  server="$server,DNS:kubernetes.default.svc.$CLUSTER_DOMAIN,DNS:$NODE_NAME,IP:127.0.0.1,IP:$KUBERNETES_IP,IP:$ip"
  certificate apiserver /CN=kube-apiserver serverAuth "$server"
  certificate apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
  certificate front-proxy-client /CN=front-proxy-client clientAuth '' front-proxy-ca
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
  for part in admin controller-manager scheduler proxy dns flannel kubelet; do
    kubeconfig "$PKI/$part.kubeconfig" "$part"
  done
  chmod 600 "$PKI"/*
}
