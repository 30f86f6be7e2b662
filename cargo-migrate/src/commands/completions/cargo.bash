
# `cargo migrate <TAB>`: cargo's own completion does the rest.
_cargo_with_migrate() {
    if [[ "${COMP_WORDS[1]}" == migrate && ${COMP_CWORD} -gt 1 ]]; then
        local COMP_WORDS=(cargo-migrate "${COMP_WORDS[@]:2}") COMP_CWORD=$((COMP_CWORD - 1))
        _cargo__migrate cargo-migrate "$2" "$3"
    elif [[ -n "${_cargo_without_migrate}" ]]; then
        "${_cargo_without_migrate}" "$@"
    elif [[ ${COMP_CWORD} -eq 1 ]]; then
        COMPREPLY=($(compgen -W migrate -- "$2"))
    fi
}

if ! complete -p cargo &>/dev/null; then
    _comp_load cargo &>/dev/null || _completion_loader cargo &>/dev/null || true
fi
if [[ "$(complete -p cargo 2>/dev/null)" =~ -F\ ([^ ]+) && "${BASH_REMATCH[1]}" != _cargo_with_migrate ]]; then
    _cargo_without_migrate="${BASH_REMATCH[1]}"
fi
complete -F _cargo_with_migrate -o bashdefault -o default cargo
