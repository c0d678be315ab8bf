# shellcheck shell=bash
# shellcheck disable=SC2154 # cache: of lib.sh
# Sourced after lib.sh: the container engine, Docker or podman.

is_docker() {
  command -v docker > /dev/null || return 1
  # podman may call itself docker.
  [[ $(docker --version 2> /dev/null) != *podman* ]] && timeout 20 docker info > /dev/null 2>&1
}
# lacks_engine: prints why there is no container engine, and none can be installed; fails if there
# is one, or can be.
lacks_engine() {
  if is_docker; then return 1; fi
  if [ "$(id -u)" != 0 ]; then
    # Without root, podman's networks are in a namespace of their own, apart from this machine.
    echo "kind needs Docker for this user, or root"
  elif command -v podman > /dev/null || command -v apt-get > /dev/null; then
    return 1
  else
    echo "kind needs Docker or podman"
  fi
}
# use_engine [docker|podman]: sets engine; without an argument to Docker if its daemon answers, else
# to podman, which it installs as root on Debian.
use_engine() {
  engine=${1:-}
  if [ -z "$engine" ]; then
    if is_docker; then engine=docker; else engine=podman; fi
  fi
  export KIND_EXPERIMENTAL_PROVIDER=$engine
  if [ "$engine" = podman ]; then
    need podman:podman runc:runc iptables:iptables
    [ -e /usr/libexec/podman/netavark ] || need /usr/lib/podman/netavark:netavark
    podman_of_its_own
  fi
}
# podman's settings, images and networks in the cache, apart from the machine's. What must not
# outlive a boot is in /run.
podman_of_its_own() {
  local dir=$cache/podman run nofile nproc runtime=''
  run=/run/lagrange-podman-$(printf %s "$cache" | sha256sum | cut -c 1-8)
  mkdir -p "$dir" "$run"
  # podman asks for more than a machine without CAP_SYS_RESOURCE allows.
  nofile=$(ulimit -Hn) nproc=$(ulimit -Hu)
  [[ $nofile =~ ^[0-9]+$ ]] && [ "$nofile" -lt 1048576 ] || nofile=1048576
  [[ $nproc =~ ^[0-9]+$ ]] && [ "$nproc" -lt 16384 ] || nproc=16384
  # crun does not know hybrid cgroups, and there is no systemd to ask for them in every container.
  if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then runtime='runtime = "runc"'; fi
  [ -d /run/systemd/system ] || runtime+=$'\ncgroup_manager = "cgroupfs"'
  put "$dir/containers.conf" << END
[containers]
default_ulimits = ["nofile=$nofile:$nofile", "nproc=$nproc:$nproc"]
log_driver = "k8s-file"
[engine]
stop_timeout = 0
events_logger = "file"
tmp_dir = "$run/libpod"
$runtime
[network]
network_backend = "netavark"
network_config_dir = "$dir/networks"
END
  put "$dir/storage.conf" << END
[storage]
driver = "overlay"
graphroot = "$dir/storage"
runroot = "$run/storage"
END
  export CONTAINERS_CONF=$dir/containers.conf CONTAINERS_STORAGE_CONF=$dir/storage.conf
  mkdir -p /lib/modules # kind mounts it, and podman refuses to mount what does not exist
}
put() { # put FILE: replaces a file at once, if its text is another
  cat > "$1.$$"
  if cmp -s "$1.$$" "$1"; then rm "$1.$$"; else mv "$1.$$" "$1"; fi
}
has_image() { "$engine" image inspect "$1" > /dev/null 2>&1; }
