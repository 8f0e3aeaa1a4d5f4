if [ "$1" = remove ]; then # while it is upgraded the agent runs on until it is restarted
	stop
fi
