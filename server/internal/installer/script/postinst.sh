if [ "$1" = configure ]; then
	settle
fi
