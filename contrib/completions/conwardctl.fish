# fish completion for conwardctl(1)

function __conwardctl_monitors
    conwardctl ps --json 2>/dev/null | string replace -rf '^\{"id":"([^"\\\\]*)","name":"([^"\\\\]*)".*' '$1\n$2' | sort -u
end

complete -c conwardctl -f
complete -c conwardctl -n __fish_use_subcommand -a 'culprit doctor logs metrics ps reopen set stats support top'
complete -c conwardctl -n '__fish_seen_subcommand_from stats reopen set logs' -a '(__conwardctl_monitors)'
complete -c conwardctl -n '__fish_seen_subcommand_from set' -a 'log-line-max log-partial-flush log-on-error log-rate-limit log-rate-policy'
complete -c conwardctl -n '__fish_seen_subcommand_from logs' -F
complete -c conwardctl -n '__fish_seen_subcommand_from culprit ps stats top doctor' -l json
complete -c conwardctl -n '__fish_seen_subcommand_from set reopen' -l all
