# What these tests run with.

setup_suite() {
	printf '# %s; %s; %s; Linux %s\n' "$(podman --version)" "$(crun --version | head -n 1)" \
		"$(systemctl --version | head -n 1)" "$(uname -r)" >&3
}
