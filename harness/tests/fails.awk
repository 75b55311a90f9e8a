# The fails of a text report, one a line: rule, version, test
match($0, /^[^ ].*\.scn(:[0-9]+)*: FAIL \[[^]]*\] MQTT [0-9.]+/) {
	test = $0
	sub(/:.*/, "", test)
	rule = version = name = $0
	sub(/^[^[]*\[/, "", rule)
	sub(/\].*/, "", rule)
	sub(/^.*\] MQTT /, "", version)
	sub(/,.*/, "", version)
	if (sub(/^.*, case "/, "", name))
		test = test "#" substr(name, 1, length(name) - 1)
	print rule "\t" version "\t" test
}
