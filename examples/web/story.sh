#!/usr/bin/env bash
# Everything that a caller does with Sendoff, once, over REST and server-sent events. Needs curl and jq.
#
# SENDOFF_URL      where the server is; default: http://127.0.0.1:8283
# SENDOFF_API_KEY  sent as a bearer token where it is set
# SENDOFF_CA_FILE  PEM of the authority that signed the server's certificate; unset: those of curl
set -euo pipefail

url=${SENDOFF_URL:-http://127.0.0.1:8283}
patience_s=60
work=$(mktemp -d) # of this user alone
trap 'rm -rf "$work"' EXIT

note() { printf '%s\n' "$*" >&2; }
fail() {
  note "$*"
  exit 1
}
new_id() { cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen; }

on_this_machine='^http://(127(\.[0-9]+){3}|localhost|\[::1\])(:[0-9]+)?/?$'
if [[ -n ${SENDOFF_API_KEY-} && $url != https://* && ! $url =~ $on_this_machine ]]; then
  fail "the API key is not sent in the clear to $url: use https"
fi
# The key goes into a file: arguments of a process can be read by everybody on the machine.
printf 'content-type: application/json\n' >"$work/headers"
if [[ -n ${SENDOFF_API_KEY-} ]]; then
  printf 'authorization: Bearer %s\n' "$SENDOFF_API_KEY" >>"$work/headers"
fi
curl_options=(--silent --show-error --connect-timeout 5 --header "@$work/headers")
[[ -z ${SENDOFF_CA_FILE-} ]] || curl_options+=(--cacert "$SENDOFF_CA_FILE")

# ---- one call ----

# call METHOD PATH [JSON [KEY]]: the answer's body; its head stays in $work/head. A server that is away is asked again,
# always when no connection was made, and else unless `repeat=no` says that a second time would do more than the first.
call() {
  local method=$1 path=$2 body=${3-} key=${4-} until=$((SECONDS + patience_s)) status result after
  local options=("${curl_options[@]}" --max-time 65 --request "$method")
  options+=(--dump-header "$work/head" --output "$work/body")
  [[ -z $body ]] || options+=(--data-binary "$body")
  [[ -z $key ]] || options+=(--header "idempotency-key: $key")
  while true; do
    result=0
    : >"$work/head"
    status=$(curl "${options[@]}" --write-out '%{http_code}' "$url$path" 2>"$work/problem") || result=$?
    case $result:$status in
      0:2*)
        cat "$work/body"
        return
        ;;
      0:429 | 0:503) ;; # too many calls, or a server that stops: it took nothing
      7:*) ;; # nobody listens
      0:502 | 0:504 | [!0]*) # cut, or a proxy says so: it may have been taken
        [[ ${repeat-yes} == yes ]] || fail "$method $path: $status $(cat "$work/problem")"
        ;;
      *) fail "$method $path: $status $(cat "$work/body")" ;;
    esac
    ((SECONDS < until)) || fail "$method $path: no answer for $patience_s s, last: $status $(cat "$work/problem")"
    after=$(sed -n 's/^retry-after: *\([0-9][0-9]*\).*/\1/Ip' "$work/head")
    sleep "${after:-0}.$((RANDOM % 5 + 5))"
  done
}

# ---- a run's log, over cut connections and restarts of the server ----

sequence=0 # of the newest event: where to go on
text=
type=

# One event of the log. What is a message has the type of the message.
on_event() {
  local data=$1
  tenths=2
  IFS=$'\t' read -r sequence type < <(jq -r '[.sequence, .type] | @tsv' <<<"$data")
  if [[ $type == assistant_message ]]; then
    text=$(jq -r '.content | if type == "string" then . else map(.text // "") | join("") end' <<<"$data")
  fi
  [[ $type != *_message ]] || type=message
  printf 'event %s: %s\n' "$sequence" "$type"
}

# on_frame NAME DATA: the events of the log have no name, everything else has one. Skip names that you do not know.
on_frame() {
  case $1 in
    '') [[ $2 == '[DONE]' ]] || on_event "$2" ;;
    # A piece that `replaces` is all of its part so far: after a cut the text is told anew.
    delta) jq -j 'select(.type == "text") | (if .replaces then "\n" else "" end) + .text' <<<"$2" >&2 ;;
    end) note "stream ended ($(jq -r .reason <<<"$2"))" ;;
    error) note "stream ended ($(jq -r '"\(.reason): \(.message)"' <<<"$2"))" ;;
  esac
}

# read_stream RUN: until the stream ends, however that comes. Heartbeats come every 15 s: 45 s of silence is a dead
# connection, for which curl looks by its speed.
read_stream() {
  local line name='' data=''
  while IFS= read -r line; do
    case $line in
      'event: '*) name=${line#event: } ;;
      'data: '*) data=${line#data: } ;;
      'http: 4'*) [[ $line == *429 ]] || fail "watch: $line" ;;
      '')
        [[ -n $data ]] || continue
        alive=$SECONDS
        on_frame "$name" "$data"
        name='' data=''
        ;;
    esac
  done < <(
    curl "${curl_options[@]}" --no-buffer --speed-limit 1 --speed-time 45 --write-out '\nhttp: %{http_code}\n' \
      "$url/v1/runs/$1:watch?include_deltas=true&after_sequence=$sequence" 2>/dev/null
  )
}

watch() {
  local alive=$SECONDS tenths=2
  until read_stream "$1" && [[ $type == finished ]]; do
    ((SECONDS - alive < patience_s)) || fail "watch: nothing came for $patience_s s"
    note "watch cut, going on after event $sequence"
    sleep "$(jq -n "$tenths / 10 * (0.5 + $((RANDOM % 50)) / 100)")" # jitter: those cut together do not return together
    tenths=$((tenths < 10 ? tenths * 2 : 20))
  done
}

# ---- the story ----

# One call waits for 55 s at most, and its time being over is no error: ask until the run has ended.
wait_for_end() {
  local status
  while true; do
    status=$(call GET "/v1/runs/$1:wait?timeout=30s" | jq -r .status)
    case $status in completed | failed | cancelled) break ;; esac
  done
  printf '%s\n' "${status^^}"
}

call GET /readyz >/dev/null
echo 'health: SERVING'

# Agents have no idempotency key at this door: a request that was cut off is not sent again. Unless told otherwise they
# are given the tools for memory.
agent=$(repeat=no call POST /v1/agents/ '{"name": "boatswain", "include_base_tools": false}' | jq -r .id)
echo "agent: $agent"

# The key is made once and kept for every attempt: the same request again is the same run.
key=$(new_id)
body='{"input": "Why do ships have bells?"}'
run=$(call POST "/v1/agents/$agent/messages/async" "$body" "$key" | jq -r .id)
echo "run: $run"
again=$(call POST "/v1/agents/$agent/messages/async" "$body" "$key" | jq -r .id)
replayed=$(grep -qi '^idempotency-replayed: true' "$work/head" && echo ' replayed' || true)
echo "again: $again$replayed"

watch "$run"
note
echo "text: $text"
echo "ended: $(wait_for_end "$run")"

# A message for later, which is taken back; a run that works already is cancelled in the same way.
later=$(jq -n '{input: "And why do they ring them?", scheduling: {start_time: (now + 3600 | todate)}}')
second=$(call POST "/v1/agents/$agent/messages/async" "$later" "$(new_id)" | jq -r .id)
call POST "/v1/runs/$second:cancel" '{"reason": "not needed any more"}' >/dev/null
echo "cancelled: $(wait_for_end "$second")"

# An agent that has to ask before it writes into its memory: its run stops, and the answer starts another one.
tool=$(call GET '/v1/tools/?name=memory_insert' | jq -r '.[0].id')
human='{"label": "human", "value": "", "description": "Whom you talk to"}'
block=$(repeat=no call POST /v1/blocks/ "$human" | jq -r .id)
keeper=$(jq -n --arg tool "$tool" --arg block "$block" '{
  name: "keeper", include_base_tools: false, block_ids: [$block], tool_ids: [$tool], tool_rules: [
    {type: "run_first", tool_name: "memory_insert", args: {label: "human", new_string: "Likes ships."}},
    {type: "requires_approval", tool_name: "memory_insert"}
  ]}')
keeper=$(repeat=no call POST /v1/agents/ "$keeper" | jq -r .id)
asking=$(call POST "/v1/agents/$keeper/messages/async" '{"input": "I like ships."}' "$(new_id)" | jq -r .id)
wait_for_end "$asking" >/dev/null
actions=$(call GET "/v1/actions?run_id=$asking")
jq -r '.actions[] | "asks for: \(.call.name)"' <<<"$actions"
answers=$(jq --arg agent "$keeper" '{agent_id: $agent,
  decisions: [.actions[] | {type: "approval", tool_call_id: .tool_call_id, approve: true}]}' <<<"$actions")
next=$(call POST /v1/conversations/default/actions:respond "$answers" "$(new_id)" | jq -r .run.id)
echo "approved: $(wait_for_end "$next")"
