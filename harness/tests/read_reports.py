"""Reads reports as strangers' programs would, and looks for what must not be in them. Standard library and jsonschema.

    read_reports.py text|json|junit|tap|known FILE...      one line "FILE: what is wrong" for each mistake; exit 1

Each is parsed by a parser that is not ours, or by the letter of its specification; no text in it, decoded, may hold a
control, bidi or invisible character, and nothing that the hostile target (bad_broker.py forges) tried to forge may
have become structure.
"""
import json
import re
import sys
import unicodedata
import xml.etree.ElementTree

VERDICTS = {"error", "fail", "fixed", "unstable", "inconclusive", "known", "warn", "pass", "skip"}
wrong = []


def clean(where, text):
    for c in text:
        if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp"):
            wrong.append(f"{where}: U+{ord(c):04X} in {text[:200]!r}")
            return


def lines(path, tabs=False):
    data = open(path, "rb").read()
    try:
        text = data.decode()
    except UnicodeDecodeError as e:
        sys.exit(f"{path}: {e}")
    if text and not text.endswith("\n"):
        wrong.append(f"{path}: the last line has no end")
    for n, line in enumerate(text.split("\n"), 1):
        clean(f"{path}:{n}", line.replace("\t", " ") if tabs else line)
    return text.split("\n")[:-1]


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for k, v in value.items():
            yield k
            yield from strings(v)
    elif isinstance(value, list):
        for v in value:
            yield from strings(v)


def unique(pairs):
    keys = [k for k, _ in pairs]
    if len(keys) != len(set(keys)):
        wrong.append(f"a member twice: {keys}")
    return dict(pairs)


def read_json(path):
    import jsonschema
    document = json.loads("\n".join(lines(path)), object_pairs_hook=unique)
    schema = json.load(open("harness/docs/report.schema.json"))
    jsonschema.Draft202012Validator.check_schema(schema)
    for e in jsonschema.Draft202012Validator(schema).iter_errors(document):
        wrong.append(f"{path}: {list(e.absolute_path)}: {e.message[:200]}")
    for s in strings(document):
        clean(path, s)
    totals = dict.fromkeys(VERDICTS, 0)
    for test in document["tests"]:
        totals[test["verdict"]] += 1
        if test["target"] not in [t["label"] for t in document["targets"]]:
            wrong.append(f"{path}: {test['id']}: of no target")
    if totals != document["totals"]:
        wrong.append(f"{path}: totals are {document['totals']}, tests come to {totals}")


def read_junit(path):
    lines(path)
    root = xml.etree.ElementTree.parse(path).getroot()
    for e in root.iter():
        if e.tag not in ("testsuites", "testsuite", "properties", "property", "testcase", "failure", "error", "skipped", "system-out"):
            wrong.append(f"{path}: <{e.tag}>")
        for text in list(e.attrib.values()) + (e.text or "").split("\n") + (e.tail or "").split("\n"):
            clean(path, text)
    for suite in root:
        for attribute, tag in (("tests", "testcase"), ("failures", "testcase/failure"), ("errors", "testcase/error"), ("skipped", "testcase/skipped")):
            if int(suite.get(attribute)) != len(suite.findall(tag)):
                wrong.append(f"{path}: {suite.get('name')}: {attribute} {suite.get(attribute)}, but {len(suite.findall(tag))} {tag}")


def read_tap(path):
    """By the specification of version 14; of YAML only what we promise: `key: JSON`, and lists of JSON strings."""
    rest = lines(path)
    if rest[0] != "TAP version 14":
        wrong.append(f"{path}: no version")
    planned, n, block = int(re.fullmatch(r"1\.\.(\d+)", rest[1])[1]), 0, None
    for number, line in enumerate(rest[2:], 3):
        where = f"{path}:{number}"
        if block is not None:
            if line == "  ...":
                block = None
                continue
            m = re.fullmatch(r"  (\w+):(?: (.+))?|    - (.+)", line)
            if not m:
                wrong.append(f"{where}: no line of YAML: {line[:100]}")
            elif m[2] or m[3]:
                value = json.loads(m[2] or m[3])
                if isinstance(value, str):
                    clean(where, value)
                if m[1] == "verdict" and value not in VERDICTS:
                    wrong.append(f"{where}: verdict {value}")
        elif line == "  ---":
            block = number
        elif not line.startswith("#"):
            m = re.fullmatch(r"(not )?ok (\d+) - ((?:[^\\#]|\\[\\#])*)( # (?:SKIP|TODO) (?:[^\\#]|\\[\\#])*)?", line)
            n += 1
            if not m or int(m[2]) != n:
                wrong.append(f"{where}: no test point: {line[:100]}")
            elif m[4] and (m[1] is None) != m[4].startswith(" # SKIP"):
                wrong.append(f"{where}: {m[4][:7]} of a test that is {m[1] or ''}ok")
    if n != planned or block is not None:
        wrong.append(f"{path}: {n} of {planned} test points, block {block}")


def read_text(path):
    for number, line in enumerate(lines(path), 1):
        if re.match(r"(not )?ok |Bail out|1\.\.", line):
            wrong.append(f"{path}:{number}: forged: {line[:100]}")


def read_known(path):
    rows = [line.split("\t") for line in lines(path, tabs=True) if line and not line.startswith("#")]
    for row in rows:
        if len(row) != 5 or not all(row):
            wrong.append(f"{path}: {row}")


def main():
    reader = {"text": read_text, "json": read_json, "junit": read_junit, "tap": read_tap, "known": read_known}[sys.argv[1]]
    for path in sys.argv[2:]:
        try:
            reader(path)
        except Exception as e:
            wrong.append(f"{path}: {type(e).__name__}: {e}")
    for w in wrong[:20]:
        print(w)
    sys.exit(1 if wrong else 0)


main()
