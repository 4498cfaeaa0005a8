# What the parts of a cluster must agree about. deploy/manifests says the same.

SERVICE_CIDR=10.96.0.0/16
POD_CIDR=10.244.0.0/16
KUBERNETES_IP=10.96.0.1
DNS_IP=10.96.0.10
DNS_PORT=10053
CLUSTER_DOMAIN=cluster.local
SECURE_PORT=6443

# The address other nodes would reach this one at; loopback on a machine without a network.
node_ip() {
  ip -4 route get 1.1.1.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p' | grep . || echo 127.0.0.1
}

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# `fill_in FILE IP`: a file of deploy/ with this cluster's networks and names in it.
fill_in() {
  sed "s#@NODE_IP@#$2#g; s#@NODE_NAME@#$NODE_NAME#g; s#@SERVICE_CIDR@#$SERVICE_CIDR#g; s#@POD_CIDR@#$POD_CIDR#g
    s#@DNS_IP@#$DNS_IP#g; s#@DNS_PORT@#$DNS_PORT#g; s#@CLUSTER_DOMAIN@#$CLUSTER_DOMAIN#g" "$1"
}
