# One scenario for each packet of codec/tests/cases.tsv that a client sends: LINE.scn in the folder `to`.
#   awk -v to=FOLDER -f cases_to_scenarios.awk codec/tests/cases.tsv
#
# A test passes when the broker treats the packet as the row's verdict says; otherwise it is skipped, with the line and
# what the broker did in a word:
#   taken    a bad packet, and the broker answered it, or the ping behind it
#   closed   a legal packet, and the broker closed the connection
#   refused  a legal packet, and its answer says no
# A ping follows each packet, so that no row waits for a time to run out. An acknowledgement stands in the flow it belongs
# to, with the packet id 1 that a broker gives its first message; a bad DISCONNECT must leave the will to be published.

function arm(step, word) { arms = arms (arms ? " or " : "either ") "{ " step (word ? "; skip \"" NR " " word "\"" : "") " }" }
function closes(word) { arm("a <- closed", word) }
function line(text) { print text >file }

# what the broker may answer, and whether that takes it or refuses it
function answers(taken, refused,    codes) {
	if (type == "8") {
		codes = note ~ /three wildcard/ ? "[%s %s %s]" : note ~ /without filters/ ? "" : "[%s]"
		arm("a <- SUBACK" (codes ? " reason=" every(codes, "<0x80") : ""), taken)
		if (codes)
			arm("a <- SUBACK reason=" every(codes, ">=0x80"), refused)
	} else if (type == "a" && version != "5") {
		arm("a <- UNSUBACK", taken)
	} else if (type == "a") {
		codes = note ~ /two filters/ ? "[%s %s]" : note ~ /without filters/ ? "" : "[%s]"
		arm("a <- UNSUBACK" (codes ? " reason=" every(codes, "<0x80") : ""), taken)
		if (codes)
			arm("a <- UNSUBACK reason=" every(codes, ">=0x80"), refused)
	} else if (type == "3" && hex ~ /^.[23ab]/) {
		acknowledged("PUBACK", taken, refused)
	} else if (type == "3" && hex ~ /^.[45cd]/) {
		acknowledged("PUBREC", taken, refused)
	} else if (type == "5") {
		arm("a <- PUBREL", taken)
	} else if (type == "6") {
		arm("a <- PUBCOMP", taken)
	}
}
function acknowledged(packet, taken, refused) {
	if (version != "5")
		arm("a <- " packet, taken)
	else {
		arm("a <- " packet " reason=<0x80", taken)
		arm("a <- " packet " reason=>=0x80", refused)
	}
}
function every(codes, expectation) { gsub(/%s/, expectation, codes); return codes }

function connect() {
	line("a opens")
	line("a -> bytes hex\"" hex "\"")
	if (bad) {
		arm("a <- CONNACK reason=0", "taken")
		arm("a <- CONNACK reason=>=1")
		closes()
	} else {
		arm("a <- CONNACK reason=0")
		arm("a <- CONNACK reason=>=1", "refused")
		closes("closed")
	}
	line(arms)
}

function disconnect() {
	line("w connects")
	line("w subscribes ($topic)")
	line("a connects will.topic=$topic will.payload=\"will\"")
	line("a -> bytes hex\"" hex "\"")
	line("a <- closed")
	if (bad && (version != "5" || hex !~ /^e. ?0[1-9a-f] ([1-9a-f]|0[1-9a-f])/)) {	# any code but 0 leaves the will anyhow
		line("w publishes topic=$topic payload=\"marker\"")
		arm("w <- PUBLISH payload=\"will\"")
		arm("w <- PUBLISH payload=\"marker\"", "taken")
		line(arms)
	}
}

# the flow that an acknowledgement with packet id 1 answers
function flow() {
	if (type == "6") {
		line("a -> PUBLISH qos=2 packet_id=1 payload=\"m\"")
		line("a <- PUBREC packet_id=1")
		return
	}
	line("a subscribes ($topic qos=" (type == "4" ? 1 : 2) ")")
	line("b connects")
	line("b publishes qos=" (type == "4" ? 1 : 2) " payload=\"m\"")
	line("a <- PUBLISH packet_id=1")
	if (type == "7") {
		line("a -> PUBREC packet_id=1")
		line("a <- PUBREL packet_id=1")
	}
}

function other() {
	line("a connects")
	if (type ~ /[4-7]/)
		flow()
	line("a -> bytes hex\"" hex "\"")
	if (type != "c" || bad)
		line("a -> PINGREQ")
	if (bad) {
		answers("taken", "")
		closes()
		arm("a <- PINGRESP", "taken")
	} else {
		answers("", "refused")
		gsub(/ }/, "; a <- PINGRESP }", arms)
		closes("closed")
		if (arms !~ /PUBACK|PUBREC|SUBACK|PUBCOMP/)
			arm("a <- PINGRESP")		# the only answer, or before it: after PUBREC of 0x80 or more
	}
	line(arms)
}

BEGIN { FS = "\t" }
/^#/ || $1 == "hex" || $3 != "c" { next }
{
	hex = $1; version = $2; bad = $4 == "bad"; note = $6; arms = ""
	type = substr(hex, 1, 1)
	file = to "/" NR ".scn"
	gsub(/["\\]/, "\\\\&", note)
	line("scenario \"" note "\"")
	line("mqtt " version)
	if (version == "5")
		line("cites 5 " (bad ? "MQTT-4.13.1-1" : "MQTT-3.12.4-1"))
	else
		line("cites 3.1.1 " (bad ? "MQTT-4.8.0-1" : "MQTT-3.12.4-1"))
	if (type == "1")
		connect()
	else if (type == "e")
		disconnect()
	else
		other()
	close(file)
}
