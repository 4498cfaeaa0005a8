# Which process is meant by a pid, and whether it still runs.

# When a process started, in clock ticks since boot; nothing for one that has ended, reaped or not. One whose first thread
# has ended has not, as long as others hold its ports.
start_time() {
  local state=ZX
  [ "$(ls "/proc/$1/task" 2>/dev/null | wc -l)" -le 1 ] || state=_
  sed -n "s/.*) \([^$state] .*\)/\1/p" "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20 | grep .
}

# Whether the process in a file of its pid and its start time still runs. The start time guards against a reused pid.
runs() {
  local pid started
  [ -e "$1" ] || return 1
  read -r pid started <"$1"
  [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ]
}
