# Shared by the Debian package and install.sh: takes over the settings, writes the unit, starts the service.
# root stands before every path, "" on a running computer; program and lib are absolute.
umask 022
settings=/etc/enjambre/agent.toml
unit=/etc/systemd/system/enjambre-agent.service

systemd() { # only where it runs, which is not so while an image is made
	[ -n "$root" ] || [ ! -d /run/systemd/system ] || systemctl "$@"
}

settle() {
	mkdir -p "$root/etc/enjambre" "$root/etc/systemd/system"
	# Settings that were changed on the computer are kept; those of an earlier installer are replaced.
	last="$root$lib/agent.toml.installed"
	if [ ! -e "$root$settings" ] || cmp -s "$root$settings" "$last"; then
		cp -p "$root$lib/agent.toml" "$root$settings.new"
		mv "$root$settings.new" "$root$settings"
	elif ! cmp -s "$root$settings" "$root$lib/agent.toml"; then
		echo "enjambre-agent: note: $settings was changed on this computer and is kept; see $lib/agent.toml" >&2
	fi
	cp -p "$root$lib/agent.toml" "$last"
	"$root$program" service unit --program "$program" --config "$settings" >"$root$unit.new"
	mv "$root$unit.new" "$root$unit"
	if [ -n "$root" ]; then
		mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
		ln -sf "$unit" "$root/etc/systemd/system/multi-user.target.wants/enjambre-agent.service"
	elif [ -d /run/systemd/system ]; then
		systemctl daemon-reload
		systemctl enable enjambre-agent.service
		systemctl restart enjambre-agent.service # a package's command that runs goes on
	elif command -v systemctl >/dev/null; then
		systemctl enable enjambre-agent.service # it starts with the image
	else
		echo "enjambre-agent: note: no systemd here; have \"$program run --service\" started with the computer" >&2
	fi
}

stop() {
	[ ! -e "$root$unit" ] || systemd disable --now enjambre-agent.service
}

forget() { # the unit
	rm -f "$root$unit" "$root/etc/systemd/system/multi-user.target.wants/enjambre-agent.service"
	systemd daemon-reload
}

purge() { # who the agent is, and its settings
	rm -rf "$root/var/lib/enjambre-agent" "$root/etc/enjambre" "$root$lib"
}
