#!/usr/bin/env bats
# Settings that Podman does not pass, and gives to its monitor in the environment: conward.conf(5).

load common

setup() {
	monitor_is_conward || skip "only conward has them"
	sed -i /conmon_env_vars/d "$CONTAINERS_CONF" # of the test before
}

@test "conmon_env_vars: limits that Podman knows nothing of hold for containers" {
	local log
	# The last section of the file is [engine].
	echo 'conmon_env_vars = ["CONWARD_LOG_LINE_MAX=300", "CONWARD_LOG_SIZE_MAX=4000"]' >>"$CONTAINERS_CONF"
	container --name long -- printf '%01000d\n' 0
	log=$(field long '{{.HostConfig.LogConfig.Path}}')
	equal $' P 300\n P 300\n P 300\n F 100' "$(awk '{ print " " $3, length($4) }' "$log")"
	equal 1000 "$(podman logs long | tr -d '\n' | wc -c)"
	container --name much -- seq 10000 >/dev/null
	log=$(field much '{{.HostConfig.LogConfig.Path}}')
	((4000 >= $(stat -c %s "$log")))
	equal 10000 "$(podman logs --tail 1 much)"
}

@test "conmon_env_vars: a value that makes no sense is passed over" {
	echo 'conmon_env_vars = ["CONWARD_LOG_LINE_MAX=-1"]' >>"$CONTAINERS_CONF"
	run -7 container --rm -- sh -c 'echo hello; exit 7'
	[[ $output == *hello* ]]
}
