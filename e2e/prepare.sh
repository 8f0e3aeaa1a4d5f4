#!/bin/sh
# Installs what the tests and the demo need and this machine lacks: a C compiler for the race detector, the
# stock OCS agent with Perl's HTTPS support, and a display without a screen with windows to press buttons in.
# Where it may not, it says what is missing. It says nothing on stdout, which is for the demo's results.
set -eu

missing=""
command -v gcc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
command -v ocsinventory-agent >/dev/null 2>&1 || missing="$missing ocsinventory-agent"
perl -MLWP::Protocol::https -e 1 >/dev/null 2>&1 || missing="$missing liblwp-protocol-https-perl"
command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
command -v zip >/dev/null 2>&1 || missing="$missing zip"
command -v zenity >/dev/null 2>&1 || missing="$missing zenity"
command -v Xvfb >/dev/null 2>&1 || missing="$missing xvfb"
command -v xdotool >/dev/null 2>&1 || missing="$missing xdotool"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "e2e: missing:$missing; install it (on Debian, as root: apt-get install$missing)" >&2
	echo "e2e: tests that need it will be skipped" >&2
	exit 0
fi
echo "e2e: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >&2
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $missing >/dev/null
# The package's own timer would call a server of its own; the tests run the agent themselves.
if [ -d /run/systemd/system ]; then systemctl disable --now ocsinventory-agent.timer >/dev/null 2>&1 || true; fi
