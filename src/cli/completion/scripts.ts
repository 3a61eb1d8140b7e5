export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

export function isShell(text: string): text is Shell {
  return SHELLS.some((shell) => shell === text);
}

/** Bash breaks words at `=` and `:`, which we do not, and wants back only what is behind the last of them. */
const BASH = `# Completion of vm-runner for bash.
_vm_runner() {
    local line current cut word
    local -a words
    line=\${COMP_LINE:0:COMP_POINT}
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current=\${words[\${#words[@]}-1]}
    cut=
    [[ $COMP_WORDBREAKS == *=* && $current == --*=* ]] && cut=\${current%%=*}=
    [[ $COMP_WORDBREAKS == *:* && $current == *:* ]] && cut=\${current%:*}:
    COMPREPLY=()
    while IFS= read -r word; do
        case $word in
        :file) mapfile -t -O \${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "\${current#"$cut"}") ;;
        :directory) mapfile -t -O \${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "\${current#"$cut"}") ;;
        *) COMPREPLY+=("\${word#"$cut"}") ;;
        esac
    done < <("\${words[0]}" __complete -- "\${words[@]:1}" 2>/dev/null)
    [[ \${#COMPREPLY[@]} == 1 && \${COMPREPLY[0]} == *:/ ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o filenames -F _vm_runner vm-runner
`;

const ZSH = `#compdef vm-runner
# Completion of vm-runner for zsh.
_vm_runner() {
    local word
    local -a found
    for word in "\${(@f)$(\${words[1]} __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $word in
        :file) _files ;;
        :directory) _files -/ ;;
        ?*) found+=("$word") ;;
        esac
    done
    (( \${#found} )) && compadd -- "\${found[@]}"
    return 0
}
if [ "$funcstack[1]" = _vm_runner ]; then
    _vm_runner
else
    compdef _vm_runner vm-runner
fi
`;

const FISH = `# Completion of vm-runner for fish.
function __vm_runner_complete
    set -l words (commandline --tokenize --current-process --cut-at-cursor) (commandline --current-token --cut-at-cursor)
    for word in ($words[1] __complete -- $words[2..] 2>/dev/null)
        switch $word
            case :file
                __fish_complete_path (commandline --current-token --cut-at-cursor)
            case :directory
                __fish_complete_directories (commandline --current-token --cut-at-cursor)
            case '*'
                echo $word
        end
    end
end
complete --command vm-runner --no-files --arguments '(__vm_runner_complete)'
`;

export const COMPLETION_SCRIPTS: Readonly<Record<Shell, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
