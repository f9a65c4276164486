# bash completion for conwardctl(1)

# Only plain words: compgen -W expands what it is given, and anybody can choose a name.
_conwardctl_monitors() {
	conwardctl ps --json 2>/dev/null | sed -n 's/^{"id":"\([^"\\]*\)","name":"\([^"\\]*\)".*/\1\n\2/p' |
		LC_ALL=C grep -x '[A-Za-z0-9_.][A-Za-z0-9_.-]*' | sort -u
}

_conwardctl() {
	local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words=
	local commands="culprit doctor logs metrics ps reopen set stats support top --help --version"
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		words=$commands
	elif [[ $word == -* ]]; then
		words=$(conwardctl "$command" --help 2>/dev/null | grep -o -- '--[a-z-]*')
	else
		case $command in
		set)
			words="$(_conwardctl_monitors) log-line-max log-partial-flush log-on-error log-rate-limit log-rate-policy"
			;;
		stats | reopen)
			words=$(_conwardctl_monitors)
			;;
		logs)
			words=$(_conwardctl_monitors)
			mapfile -t COMPREPLY < <(compgen -f -- "$word")
			;;
		esac
	fi
	mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -o filenames -F _conwardctl conwardctl
