case "$1" in
remove) forget ;;
purge) purge ;;
esac
