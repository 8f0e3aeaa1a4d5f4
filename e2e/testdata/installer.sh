# Installs, upgrades and removes the agent on a copy of this computer, with a stand-in for systemctl that runs the
# unit's command. Called by TestInstaller in namespaces of its own, where nothing outlives it:
#   sh installer.sh FOLDER SERVER DATA
# FOLDER holds one.deb, two.deb, one.tar.gz, two.tar.gz; SERVER is the server's program, DATA its data folder.
set -eu
folder=$1 server=$2 data=$3
mount -t tmpfs tmpfs "$folder/lab"
lab=$folder/lab/root

computer() { # a fresh copy of this computer, whose disk is laid over the real one
	number=$((number + 1))
	lab=$folder/lab/$number/root
	mkdir -p "$lab" "$folder/lab/$number/upper" "$folder/lab/$number/work"
	mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/lab/$number/upper,workdir=$folder/lab/$number/work" "$lab"
	mount --rbind /dev "$lab/dev"
	mount -t proc proc "$lab/proc"
	mkdir -p "$lab/run/systemd/system" "$lab/installers" "$lab/usr/local/sbin"
	rm -rf "$lab/etc/enjambre" "$lab/var/lib/enjambre-agent"
	cp "$folder"/*.deb "$folder"/*.tar.gz "$lab/installers"
	cat >"$lab/usr/local/sbin/systemctl" <<'SYSTEMCTL'
#!/bin/sh
# Runs the one unit of this lab.
echo "$*" >>/calls
pid=/run/agent.pid
stop() {
	[ -e $pid ] || return 0
	kill "$(cat $pid)"
	while [ -d "/proc/$(cat $pid)" ]; do sleep 0.05; done
	rm $pid
}
case "$1" in
restart | start)
	stop
	command=$(sed -n 's/^ExecStart=//p' /etc/systemd/system/enjambre-agent.service)
	eval "setsid $command </dev/null >>/agent.out 2>&1 & echo \$! >$pid"
	;;
disable) stop ;;
esac
SYSTEMCTL
	chmod 755 "$lab/usr/local/sbin/systemctl"
}

in_lab() {
	chroot "$lab" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C sh -ec "$1"
}

fail() {
	echo "FAILED: $*"
	cat "$lab/agent.out" "$lab/calls" "$lab/var/lib/enjambre-agent/agent.log" 2>/dev/null || :
	exit 1
}

until_true() { # text, command in the lab; only what hangs takes five minutes
	tries=0
	while ! in_lab "$2" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 1500 ] || fail "not within five minutes: $1"
		sleep 0.2
	done
}

calls() { # demands what systemctl was told since the last time
	in_lab 'cat /calls; rm /calls' >"$folder/got"
	printf '%s\n' "$@" >"$folder/want"
	diff "$folder/want" "$folder/got" || fail "systemctl was told something else"
}

started='daemon-reload
enable enjambre-agent.service
restart enjambre-agent.service'
stopped='disable --now enjambre-agent.service
daemon-reload'

works() { # the agent called the server with the installed program, and its token is gone
	until_true "a contact" "enjambre-agent status --json | grep -q '\"running\":true.*\"lastContact\"'"
	until_true "the token removed" "! ls $1/token"
}

device() { in_lab 'cat /var/lib/enjambre-agent/device'; }

# check PREFIX INSTALL UPGRADE REMOVE PURGE
check() {
	lib=$1/lib/enjambre-agent
	in_lab "$2" || fail install
	works "$lib"
	calls "$started"
	first=$(device)
	in_lab 'enjambre-agent config check' || fail settings
	in_lab 'enjambre-agent diagnose' || fail diagnose

	# An upgrade keeps who the agent is, settings that nobody touched follow, and the unit names the program.
	in_lab "$3" || fail upgrade
	works "$lib"
	calls "$started"
	[ "$(device)" = "$first" ] || fail "another computer after the upgrade"
	in_lab 'grep -q "^debug = true" /etc/enjambre/agent.toml' || fail "settings did not follow"
	in_lab "grep -q '^ExecStart=\"$1/bin/enjambre-agent\" \"run\" \"--service\" \"--config\" \"/etc/enjambre/agent.toml\"$' \
		/etc/systemd/system/enjambre-agent.service" || fail unit

	# Settings that were changed here stay.
	in_lab 'echo "log_keep = 7" >>/etc/enjambre/agent.toml'
	in_lab "$2" 2>&1 | grep 'was changed on this computer and is kept' || fail "no word about the settings"
	in_lab 'grep -q "^log_keep = 7" /etc/enjambre/agent.toml' || fail "changed settings are gone"
	works "$lib"
	calls "$started"

	# Removed and installed again, it is the same computer; purged, it is gone.
	in_lab "$4" || fail remove
	calls "$stopped"
	in_lab '! [ -e /run/agent.pid ] && ! command -v enjambre-agent && ! [ -e /etc/systemd/system/enjambre-agent.service ]' ||
		fail "something is left"
	in_lab "$2" || fail "install again"
	works "$lib"
	[ "$(device)" = "$first" ] || fail "another computer after it was removed"
	in_lab "$5" || fail purge
	in_lab "! [ -e /var/lib/enjambre-agent ] && ! [ -e /etc/enjambre ] && ! [ -e $lib ] && ! [ -e /run/agent.pid ]" ||
		fail "something is left after the purge"
}

# The agent runs a package that installs a newer agent, and reports it (T53).
upgrade_itself() {
	mkdir "$folder/package"
	cp "$folder/two.deb" "$folder/package"
	printf '#!/bin/sh\ndpkg -i "$(dirname "$0")/two.deb"\n' >"$folder/package/upgrade.sh"
	chmod 755 "$folder/package/upgrade.sh"
	tar czf "$folder/package.tar.gz" -C "$folder/package" .
	"$server" config set --data "$data" DOWNLOAD_CYCLE_LATENCY 1
	"$server" config set --data "$data" DOWNLOAD_FRAG_LATENCY 1
	id=$("$server" package build --data "$data" --name upgrade --os linux --action LAUNCH --command upgrade.sh \
		--priority 0 --file "$folder/package.tar.gz" --json | sed 's/.*"id":"\([0-9]*\)".*/\1/')
	"$server" activation create --data "$data" --package "$id"
	"$server" affect --data "$data" --package "$id" --computer "$(device)"
	before=$(in_lab 'cat /run/agent.pid')
	in_lab 'systemctl restart' # so that it calls now
	until_true "the upgrade reported" 'enjambre-agent packages | grep "reported.*SUCCESS"'
	in_lab '[ "$(cat /run/agent.pid)" != '"$before"' ]' || fail "the old agent still runs"
	in_lab 'grep -q "^debug = true" /etc/enjambre/agent.toml' || fail "the upgrade did not happen"
	calls restart "$started"
}

number=0
computer
in_lab 'dpkg -i /installers/one.deb' || fail install
works /usr/lib/enjambre-agent
calls "$started"
upgrade_itself
works /usr/lib/enjambre-agent
in_lab 'dpkg -P enjambre-agent' || fail purge
echo "its own upgrade works"

computer
check /usr 'dpkg -i /installers/one.deb' 'dpkg -i /installers/two.deb' 'dpkg -r enjambre-agent' 'dpkg -P enjambre-agent'
echo "deb works"

computer
unpack='rm -rf /tmp/setup; mkdir /tmp/setup; tar xzf /installers'
check /usr/local "$unpack/one.tar.gz -C /tmp/setup; /tmp/setup/enjambre-agent/install.sh" \
	"$unpack/two.tar.gz -C /tmp/setup; /tmp/setup/enjambre-agent/install.sh" \
	'/tmp/setup/enjambre-agent/install.sh --uninstall' '/tmp/setup/enjambre-agent/install.sh --purge'
echo "tar.gz works"

# An image: nothing is started, and the unit starts with it.
computer
in_lab "$unpack/one.tar.gz -C /tmp/setup; DESTDIR=/image /tmp/setup/enjambre-agent/install.sh"
in_lab '! [ -e /calls ] && [ -x /image/usr/local/bin/enjambre-agent ] &&
	[ "$(readlink /image/etc/systemd/system/multi-user.target.wants/enjambre-agent.service)" = /etc/systemd/system/enjambre-agent.service ] &&
	grep -q "^ExecStart=\"/usr/local/bin/enjambre-agent\"" /image/etc/systemd/system/enjambre-agent.service' || fail image
echo "image works"
