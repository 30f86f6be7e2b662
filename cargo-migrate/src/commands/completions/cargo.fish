
# `cargo migrate <TAB>`: what stands behind it is completed as behind `cargo-migrate`.
complete -c cargo -n '__fish_seen_subcommand_from migrate' -f -a '(complete -C (string replace -r "^.*?\\bmigrate\\b" cargo-migrate -- (commandline -cp)))'
