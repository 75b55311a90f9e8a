# Of what `mqassay fuzz` tells of its first finding, one line: bucket, how large and how reliable it is, and what is wrong with that.
# hand: `minimal` in the head of the patch, "2 packets on 1 connection".
function packets(text) {
	return match(text, /[0-9]+ packets?/) ? substr(text, RSTART) + 0 : 0
}
/^  bucket / && !bucket { sub(/^  bucket */, ""); bucket = $0 }
/^  case / && !size {
	size = packets($0)
	match($0, /on [0-9]+ connections?/)
	clients = substr($0, RSTART + 3) + 0
	match($0, /shows [0-9]+ of [0-9]+/)
	shows = substr($0, RSTART, RLENGTH)
}
END {
	printf "%s; %d packet%s on %d connection%s, by hand %s; %s", bucket, size, size == 1 ? "" : "s", clients, clients == 1 ? "" : "s", hand, shows
	if (shows != "shows 10 of 10")
		printf "; NOT RELIABLE"
	if (size > 2 * packets(hand))
		printf "; NOT MINIMAL"
	print ""
}
