#!/usr/bin/env python3
"""Plays each row of violations.tsv, decodes the capture with --check, and compares. Arguments: program, table, folder to work in."""
import concurrent.futures
import json
import os
import subprocess
import sys

program, table, folder = sys.argv[1:4]

MACROS = {
    "3.1.1": {
        "$keep": 'a connects clean_start=0',
        "$again": 'a connects clean_start=0',
    },
    "5": {
        "$keep": 'a connects session_expiry_interval=60',
        "$again": 'a connects clean_start=0 session_expiry_interval=60',
    },
}
ALL = "; ".join([
    'a connects; a -> SUBSCRIBE packet_id=1 ($topic qos=2); maybe a <- SUBACK',
    'b connects; b publishes topic=$topic; b publishes topic=$topic qos=1; b publishes topic=$topic qos=2',
    'a receives; a receives; a receives; a -> UNSUBSCRIBE packet_id=2 ($topic); wait 1s; a disconnects',
])
ALL2 = ALL.replace("a receives; a receives; a receives", "wait 1s")


def rows():
    for line in open(table):
        if line.startswith("#") or line.startswith("name\t"):
            continue
        name, in_311, in_5, side, broker, steps = line.rstrip("\n").split("\t")
        for version, clause in (("3.1.1", in_311), ("5", in_5)):
            if clause != "-":
                yield name, version, clause, side, broker, steps


def scenario(number, name, version, clause, steps):
    for macro, text in (("$all2", ALL2), ("$all", ALL), *MACROS[version].items()):
        steps = steps.replace(macro, text)
    path = os.path.join(folder, f"{number}.scn")
    with open(path, "w") as f:
        f.write(f'scenario "{name}"\nmqtt {version}\ncites {version} MQTT-3.12.4-1\n'
                f'z connects\nz -> PINGREQ\nz <- PINGRESP\nz closes\n{steps}\nwait 1s\n')
    return path


def play(numbered):
    number, (name, version, clause, side, broker, steps) = numbered
    path = scenario(number, name, version, clause, steps)
    capture = os.path.join(folder, f"{number}.pcapng")
    options = [] if broker == "-" else broker.replace("$rule", f"{version}:{clause}").split()
    faults = [option for i, option in enumerate(options) if "--break" in options[max(i - 1, 0):i + 1]]
    others = [option for option in options if option not in faults]
    options = [f if f == "--break" or f[0].isdigit() else f"{version}:{f}" for f in faults]
    options += ["--broker", " ".join(others)] if others else []
    played = subprocess.run([program, "conform", "--quiet", "--mqtt", version, "--scenarios", path, "--pcap", capture, *options],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    if played.returncode not in (0, 1, 3) or not os.path.exists(capture):
        return False, f"not played: {played.stderr.strip() or played.returncode}"
    checked = subprocess.run([program, "decode", "--port", "1883", "--mqtt", version, "--check", "--view", "clauses", "--format", "json", capture],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    found, table_says = [], None
    for line in checked.stdout.splitlines():
        o = json.loads(line)
        if o["kind"] == "violation":
            found.append((o["rule"], o["side"], o["text"]))
        elif o["kind"] == "clause" and o["rule"] == f"{version}:{clause}":
            table_says = o
    wanted = (f"{version}:{clause}", side)
    others = [f for f in found if f[:2] != wanted]
    if wanted not in [f[:2] for f in found]:
        return False, f"not named; {found}"
    if others:
        return False, f"named beside it: {others}"
    if checked.returncode != 1:
        return False, f"exit code {checked.returncode}"
    if not table_says or table_says["outcome"] != "violated" or table_says[side]["violated"] != len(found):
        return False, f"the table says {table_says}"
    return True, ""


def main():
    kinds = {"3.1.1": set(), "5": set()}
    failed = 0
    all_rows = list(rows())
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for row, (good, why) in zip(all_rows, pool.map(play, enumerate(all_rows))):
            label = f"{row[1]}: {row[0]} ({row[3]})"
            if good:
                kinds[row[1]].add((row[0], row[3]))
                print(f"ok {label}")
            else:
                failed += 1
                print(f"not ok {label}: {why}")
    for version, named in kinds.items():
        if len(named) < 40:
            print(f"not ok {version}: only {len(named)} kinds of violations are named, 40 are asked for")
    return failed != 0


sys.exit(main())
