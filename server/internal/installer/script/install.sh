# Installs, upgrades or removes the agent where there is no dpkg:
#   ./install.sh              install, or upgrade in place: an agent that is enrolled stays so
#   ./install.sh --uninstall  stop and remove it; who it is and its settings stay
#   ./install.sh --purge      the same, and those too
# With DESTDIR it works below that folder, for images, and starts nothing.
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
	echo "install.sh: error: this needs root; run it with sudo" >&2
	exit 1
fi
case "${1:-}" in
"")
	mkdir -p "$root$(dirname "$program")" "$root$lib"
	cp "$here/enjambre-agent" "$root$program.new"
	chmod 755 "$root$program.new"
	mv "$root$program.new" "$root$program" # a running agent keeps the old one
	for file in agent.toml cacert.pem token; do
		cp -p "$here/$file" "$root$lib/$file"
		[ -n "$root" ] || chown 0:0 "$lib/$file" # an archive unpacked by somebody else names that user
	done
	settle
	;;
--uninstall | --purge)
	stop
	forget
	rm -f "$root$program" "$root$lib/token"
	[ "$1" = --uninstall ] || purge
	;;
*)
	echo "install.sh: error: use no argument, --uninstall or --purge" >&2
	exit 2
	;;
esac
