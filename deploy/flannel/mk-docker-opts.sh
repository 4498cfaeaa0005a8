#!/bin/sh
# Docker's options for the subnet that flanneld has got, as an environment file. Its options and output are those of the script of
# this name that comes with upstream's flannel.
set -eu

usage() {
  cat >&2 <<TEXT
$0 [-f SUBNET-FILE] [-d DOCKER-FILE] [-i] [-c] [-m] [-k NAME]

  -f  what flanneld wrote (/run/flannel/subnet.env)
  -d  what is written for Docker (/run/docker_opts.env)
  -i  write every option as a variable of its own, such as DOCKER_OPT_MTU; with neither -i nor -c, both
  -c  write all options as one variable
  -k  the name of that variable (DOCKER_OPTS)
  -m  leave --ip-masq out, which old versions of Docker do not know
TEXT
  exit 1
}

fail() {
  echo "$1" >&2
  exit 1
}

subnet_file=/run/flannel/subnet.env docker_file=/run/docker_opts.env name=DOCKER_OPTS
each='' combined='' masquerade=yes
while getopts f:d:icmk:h option; do
  case $option in
    f) subnet_file=$OPTARG ;;
    d) docker_file=$OPTARG ;;
    i) each=yes ;;
    c) combined=yes ;;
    m) masquerade='' ;;
    k) name=$OPTARG ;;
    *) usage ;;
  esac
done
[ -n "$each$combined" ] || each=yes combined=yes
case $name in
  '' | [0-9]* | *[!A-Za-z0-9_]*) fail "-k: $name is not the name of a variable" ;;
esac

# The file is read and not run; what is in the environment counts where the file is silent.
of_file() {
  if [ -f "$subnet_file" ]; then sed -n "s/^$1=\"\{0,1\}\([A-Za-z0-9./]*\)\"\{0,1\}\$/\1/p" "$subnet_file" | tail -n 1; fi
}
subnet=$(of_file FLANNEL_SUBNET) mtu=$(of_file FLANNEL_MTU) ip_masq=$(of_file FLANNEL_IPMASQ)
: "${subnet:=${FLANNEL_SUBNET:-}}" "${mtu:=${FLANNEL_MTU:-}}" "${ip_masq:=${FLANNEL_IPMASQ:-}}"

[ -z "$subnet" ] || export DOCKER_OPT_BIP="--bip=$subnet"
[ -z "$mtu" ] || export DOCKER_OPT_MTU="--mtu=$mtu"
if [ -n "$ip_masq" ] && [ -n "$masquerade" ]; then
  # One of the two masquerades.
  case $ip_masq in
    true) export DOCKER_OPT_IPMASQ=--ip-masq=false ;;
    false) export DOCKER_OPT_IPMASQ=--ip-masq=true ;;
    *) fail "Invalid value of FLANNEL_IPMASQ: $ip_masq" ;;
  esac
fi

options=$(printenv "$name" || true)
options=${options:+$options }
lines=''
for variable in $(env | sed -n 's/^\(DOCKER_OPT_[A-Za-z0-9_]*\)=.*/\1/p' | LC_ALL=C sort); do
  value=$(printenv "$variable")
  options="$options $value"
  [ -z "$each" ] || lines="$lines$variable=\"$value\"
"
done
[ -z "$combined" ] || lines="$lines$name=\"$options\"
"
printf %s "$lines" >"$docker_file"

if [ -n "$subnet" ]; then
  # A route to another machine: somebody else has the subnet.
  address=${subnet%/*}
  network=${address%.*}.$((${address##*.} - 1))/${subnet#*/}
  route=$(ip -4 route show exact "$network" 2>/dev/null | grep via || true)
  [ -z "$route" ] || fail "Your routing table already contains the subnet: $route"
fi
