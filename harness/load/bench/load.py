"""The cases of load.sh."""
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = sys.argv[1]
PROGRAM = os.path.join(BUILD, "mqassay")
FLOOR = os.path.join(BUILD, "harness/load/bench/bench_floor")
SECONDS = int(os.environ.get("BENCH_SECONDS", "5"))
PAIRS = int(os.environ.get("BENCH_PAIRS", "3"))
BROKER_PAIRS = int(os.environ.get("BENCH_PAIRS", "7"))
UNDISTURBED = os.environ.get("BENCH_UNDISTURBED", "") not in ("", "0")
TICKS = os.sysconf("SC_CLK_TCK")
FOLDER = tempfile.mkdtemp(prefix="mqassay-bench.")

failed = False
unable = False

WORKLOADS = {
    "flood": """workload "As much as goes"
mqtt 3.1.1
param clients = 10
param qos = 0
param window = 20
role source x $clients {
    source connects
    meet "ready"
    forever { source publishes topic="bench/$(n)" qos=$qos payload=stamp(256) in flight $window }
}
""",
    "paced": """workload "So many a second"
mqtt 3.1.1
param clients = 5000
role source x $clients {
    source connects
    meet "ready"
    every PERIODms { source publishes topic="bench/$(n)" payload=stamp(256) in flight 20 }
}
""",
    "connect": """workload "All at once"
mqtt 3.1.1
param clients = 10000
role client x $clients {
    client connects keep_alive=600
    meet "ready"
}
""",
    "idle": """workload "Connected, and silent"
mqtt 3.1.1
param clients = 18000
role client x $clients {
    client connects keep_alive=600
    meet "ready"
    wait 8s
}
""",
    "return": """workload "To oneself"
mqtt 3.1.1
param clients = 10
role client x $clients {
    whenever client receives { }
    client connects
    client subscribes ("bench/$(n)")
    meet "ready"
    forever { client publishes topic="bench/$(n)" payload=stamp(256) in flight 20 }
}
""",
    "stall": """workload "Through a stall"
mqtt 3.1.1
role source x 100 {
    source connects
    meet "ready"
    every 100ms { source publishes topic="bench/$(n)" payload=stamp(256) in flight 20 }
}
role collector x 1 {
    whenever collector receives { }
    collector connects
    collector subscribes ("bench/+")
    meet "ready"
}
""",
}


class Unable(Exception):
    """This case cannot be measured here."""


def say(what, value, limit="", good=None, bare=None):
    """A row of the table. good None: nothing was required. bare: whether the bare client, run by run beside ours, is within the limit: if not, then this machine
    is not able to it now, and ours has not missed it."""
    global failed
    mark = "" if good is not False else "  NOT HERE NOW: the bare client is not within it either" if bare is False else "  MISSED"
    failed = failed or mark == "  MISSED"
    print("  %-62s %16s   %-22s%s" % (what, value, limit, mark), flush=True)


def pairs(bare, ours):
    """Each PAIRS times, one after the other and so equally disturbed: the medians, and the median of ours / bare."""
    bares, all_ours = [], []
    for _ in range(PAIRS):
        bares.append(bare())
        all_ours.append(ours())
    return statistics.median(bares), statistics.median(all_ours), statistics.median(o / b for b, o in zip(bares, all_ours))


def workload(name, **replaced):
    text = WORKLOADS[name]
    for word, value in replaced.items():
        text = text.replace(word, str(value))
    path = os.path.join(FOLDER, name + ".scn")
    with open(path, "w") as file:
        file.write(text)
    return path


def apart(processor):
    """For preexec_fn."""
    def set_apart():
        os.sched_setaffinity(0, {processor})
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    return set_apart if UNDISTURBED else None


OF_CLIENTS, OF_SERVERS = apart(0), apart(os.cpu_count() - 1)


class Run:
    """A process, and what it came to."""

    def __init__(self, args, **more):
        self.began = time.monotonic()
        self.out = tempfile.TemporaryFile()
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(args, stdout=self.out, stderr=self.errors, stdin=subprocess.DEVNULL, preexec_fn=OF_CLIENTS, **more)
        self.pid = self.process.pid

    def wait(self):
        _, status, usage = os.wait4(self.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu = usage.ru_utime + usage.ru_stime
        self.seconds = time.monotonic() - self.began
        self.out.seek(0)
        self.errors.seek(0)
        self.text = self.out.read().decode()
        if self.process.returncode not in (0, 1):
            raise Unable("%s: exit code %d: %s" % (" ".join(self.process.args[:3]), self.process.returncode, self.errors.read().decode().strip()[-300:]))
        return self


def load(name, port, *options, **replaced):
    return Run([PROGRAM, "load", workload(name, **replaced), "tcp://127.0.0.1:%d" % port, "--quiet", "--calibrate", "never", "--format", "json", *options])


def floor(*args):
    """What bench_floor prints, by name."""
    run = Run([FLOOR] + [str(a) for a in args]).wait()
    return {name: float(value) for name, value in (pair.split("=") for pair in run.text.split())}


class Sink:
    """The null sink, and what came to it in each second."""

    def __init__(self, seconds, *more):
        self.process = subprocess.Popen([FLOOR, "sink", str(seconds), *more], stdout=subprocess.PIPE, text=True, preexec_fn=OF_SERVERS)
        self.port = int(self.process.stdout.readline())

    def counts(self):
        """After SECONDS more, in which what is under way arrives."""
        time.sleep(1.1)
        self.process.kill()
        return [int(line) for line in self.process.stdout.read().split()]


def ticks_of(pid):
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def anon_of(pid):
    with open("/proc/%d/status" % pid) as file:
        return int(re.search(r"RssAnon:\s+(\d+) kB", file.read()).group(1)) * 1024


class Mosquitto:
    """As it is installed, but with no limit on connections and counts each second."""

    def __init__(self):
        if not shutil.which("mosquitto"):
            raise Unable("mosquitto is not installed")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        path = os.path.join(FOLDER, "mosquitto.conf")
        with open(path, "w") as file:
            file.write("listener %d 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type none\nsys_interval 1\n" % self.port)
        self.process = subprocess.Popen(["mosquitto", "-c", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=OF_SERVERS)
        self.pid = self.process.pid
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise Unable("mosquitto does not start")

    def received(self):
        """Packets that it has received, when all is quiet."""
        time.sleep(2.2)
        return int(subprocess.run(["mosquitto_sub", "-p", str(self.port), "-t", "$SYS/broker/messages/received", "-C", "1", "-W", "5"],
                                  stdout=subprocess.PIPE, text=True).stdout or 0)

    def stop(self):
        self.process.kill()
        self.process.wait()


def load_counts(run):
    result = json.loads(run.text)
    return result, {role["name"]: role["counts"] for role in result["roles"]}


# ---- cases ----

def flood():
    """QoS 0, 256 B, against the null sink."""
    rates = []

    def bare():
        sink = Sink(3600)
        try:
            return floor("publish", sink.port, 10, 0, 256, SECONDS)["each_us"]
        finally:
            sink.counts()

    def ours():
        sink = Sink(3600)
        run = load("flood", sink.port, "--for", "%ds" % SECONDS, "--drain", "100ms", "--threads", "1").wait()
        n = sum(sink.counts())
        result, _ = load_counts(run)
        rates.append(n / ((result["drain_ns"] - result["steady_ns"]) / 1e9))
        return run.cpu * 1e6 / n

    floor_cost, cost, _ = pairs(bare, ours)
    rate = max(rates)		# what others leave of the processors is not ours to judge
    say("QoS 0, 256 B, null sink: bare client", "%.3f us" % floor_cost)
    say("QoS 0, 256 B, null sink: CPU a message", "%.3f us" % cost, "<= 0.25 us", cost <= 0.25)
    say("QoS 0, 256 B, null sink: messages a second, most", "%.2f M" % (rate / 1e6), ">= 3 M", rate >= 3e6)


def window():
    """QoS 1 and 2 against mosquitto."""
    for qos, width, limit in (1, 20, 4.5), (1, 1, 6.0), (2, 20, 9.0):
        broker = Mosquitto()

        def bare():
            return floor("publish", broker.port, 10, qos, 256, SECONDS, width)["each_us"]

        def ours():
            before = broker.received()
            run = load("flood", broker.port, "-D", "qos=%d" % qos, "-D", "window=%d" % width, "--for", "%ds" % SECONDS, "--drain", "1s").wait()
            return run.cpu * 1e6 / ((broker.received() - before) / qos)

        try:
            floor_cost, cost, ratio = pairs(bare, ours)
        finally:
            broker.stop()
        what = "QoS %d, window %d, mosquitto: " % (qos, width)
        say(what + "bare client", "%.2f us" % floor_cost)
        say(what + "CPU a message", "%.2f us" % cost, "<= %.1f us" % limit, cost <= limit, floor_cost <= limit)
        say(what + "ours / bare, median", "%.2f" % ratio)


def receive():
    """Sent to oneself: what is left when sending is taken away is receiving, with topic, account and latency."""
    sink = Sink(3600)
    sent = load("flood", sink.port, "--for", "%ds" % SECONDS, "--drain", "100ms", "--threads", "1").wait()
    sending = sent.cpu * 1e6 / sum(sink.counts())
    sink = Sink(3600, "reflect")
    run = load("return", sink.port, "--for", "%ds" % SECONDS, "--drain", "1s", "--threads", "1").wait()
    n = sum(sink.counts())
    _, counts = load_counts(run)
    both = run.cpu * 1e6 / n
    say("receiving 256 B, topic, account, latency: CPU a message", "%.3f us" % (both - sending), "<= 0.2 us", both - sending <= 0.2)
    say("delivered of those that were reflected", "%d of %d" % (counts["client"]["delivered"], n), "all", counts["client"]["delivered"] == n)


def paced():
    """At a rate, counted in each second by the sink."""
    length = 2 * SECONDS
    for clients, period, share in (5000, 50, 30), (1000, 100, 12):
        rate = clients * 1000 // period
        due = rate * length
        runs = []

        def bare():
            sink = Sink(3600)
            try:
                run = floor("pace", sink.port, clients, period, 256, length)
            finally:
                sink.counts()
            return run["each_us"] * rate / 1e4

        def ours():
            sink = Sink(3600)
            run = load("paced", sink.port, "-D", "clients=%d" % clients, "--for", "%ds" % length, "--drain", "500ms", "--threads", "1", PERIOD=period).wait()
            seconds = sink.counts()
            full = [i for i, c in enumerate(seconds) if c]
            inside = [seconds[i] for i in full[1:-1]]
            late = load_counts(run)[0]["roles"][0]["timings"].get("lateness", {"p99_ns": 0, "max_ns": 0})
            runs.append((max((abs(c - rate) / rate * 100 for c in inside), default=100), (sum(seconds) - due) / due * 100, late["p99_ns"] / 1e6, late["max_ns"] / 1e6))
            return run.cpu / length * 100

        floor_busy, busy, ratio = pairs(bare, ours)
        what = "%d clients x %d/s: " % (clients, 1000 // period)
        worst, off, p99, most = min(runs)		# the run that others disturbed least
        furthest = max((abs(r[1]) for r in runs))
        say(what + "messages in all, of %d, furthest off" % due, "%.3f %%" % furthest, "within 0.1 %", furthest <= 0.1)
        say(what + "worst second of the steadiest run", "%.2f %%" % worst, "within 1 %", worst <= 1)
        say(what + "lateness p99, most, in that run", "%.2f, %.2f ms" % (p99, most))
        say(what + "bare client, of a core", "%.1f %%" % floor_busy)
        say(what + "of a core", "%.1f %%" % busy, "<= %d %%" % share, busy <= share, floor_busy <= share)
        say(what + "ours / bare, median", "%.2f" % ratio)


def syn_retries():
    with open("/proc/net/netstat") as file:
        lines = file.read().splitlines()
    names, values = (lines[i].split() for i in (next(i for i, l in enumerate(lines) if l.startswith("TcpExt:")) + k for k in (0, 1)))
    return int(values[names.index("TCPSynRetrans")])


def connect():
    """Each time to a fresh mosquitto: where connections to one port have just been closed, the kernel searches long for a free port of ours."""
    retried = []

    def bare():
        broker = Mosquitto()
        try:
            return floor("connect", broker.port, 10000, 64)["rate"]
        finally:
            broker.stop()

    def ours():
        broker = Mosquitto()
        before = syn_retries()
        try:
            result, _ = load_counts(load("connect", broker.port, "--drain", "100ms").wait())
        finally:
            broker.stop()
        retried.append(syn_retries() - before)
        return 10000 / (result["steady_ns"] / 1e9)

    floor_rate, rate, ratio = pairs(bare, ours)
    say("10,000 connects, mosquitto: bare client", "%.0f/s" % floor_rate)
    say("10,000 connects, mosquitto: a second", "%.0f" % rate, ">= 25000", rate >= 25000, floor_rate >= 25000)
    say("10,000 connects, mosquitto: ours / bare, median", "%.2f" % ratio)
    say("10,000 connects, mosquitto: SYN retries on this machine, least", min(retried), "0", min(retried) == 0)


def idle_anon(port, clients):
    """RssAnon two seconds after the last of them has a socket: they have met, and wait."""
    run = load("idle", port, "-D", "clients=%d" % clients, "--drain", "100ms")
    anon = None
    try:
        while time.monotonic() - run.began < 30 and len(os.listdir("/proc/%d/fd" % run.pid)) < clients + 4:
            time.sleep(0.05)
        time.sleep(2)
        anon = anon_of(run.pid)
    except (OSError, AttributeError):
        pass
    run.wait()
    if anon is None:
        raise Unable("%d clients did not connect in time" % clients)
    return anon


def idle():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    clients = min(18000, hard - 1000)
    sink = Sink(3600)
    base = idle_anon(sink.port, 1)
    all_of_them = idle_anon(sink.port, clients)
    sink.counts()
    each = (all_of_them - base) / (clients - 1)
    say("idle: anonymous memory without clients", "%.2f MB" % (base / 1e6), "<= 3 MB", base <= 3e6)
    say("idle: anonymous memory of each of %d clients" % clients, "%.0f B" % each, "<= 512 B", each <= 512)


def stall():
    """A broker that stands still for a second in ten."""
    broker = Mosquitto()
    try:
        run = load("stall", broker.port, "--for", "10s", "--drain", "2s")
        time.sleep(5)
        os.kill(broker.pid, signal.SIGSTOP)
        time.sleep(1)
        os.kill(broker.pid, signal.SIGCONT)
        run.wait()
    finally:
        broker.stop()
    result, _ = load_counts(run)
    role = next(r for r in result["roles"] if r["name"] == "collector")
    p99 = role["timings"]["delivery"]["p99_ns"] / 1e9
    say("frozen for 1 s of 10: p99 of delivery", "%.3f s" % p99, "0.85 to 1.0 s", 0.85 <= p99 <= 1.0)


def peers(port):
    """Other tools that are installed: name and command, each for SECONDS."""
    port = str(port)
    if shutil.which("emqtt_bench"):
        yield "emqtt_bench", ["timeout", "-s", "INT", str(SECONDS), "emqtt_bench", "pub", "-h", "127.0.0.1", "-p", port, "-c", "10", "-i", "1", "-I", "0",
                              "-s", "256", "-t", "bench/%i", "-q", "0", "-V", "4"]
    if shutil.which("nanomq_cli"):
        yield "nanomq_cli", ["timeout", "-s", "INT", str(SECONDS), "nanomq_cli", "bench", "pub", "-h", "127.0.0.1", "-p", port, "-c", "10", "-i", "1", "-I", "0",
                             "-s", "256", "-t", "bench/%i", "-q", "0", "-V", "4"]
    if shutil.which("mqtt-benchmark"):
        yield "mqtt-benchmark", ["timeout", "-s", "INT", str(SECONDS), "mqtt-benchmark", "-broker", "tcp://127.0.0.1:" + port, "-clients", "10", "-count", "10000000",
                                 "-size", "256", "-qos", "0", "-message-interval", "0", "-quiet"]


def at_broker(start):
    """One run against a fresh mosquitto: messages that it received a second, its CPU while it was busy, CPU of ours a message in us."""
    broker = Mosquitto()
    try:
        wait = start(broker.port)
        time.sleep(1)
        before, began = ticks_of(broker.pid), time.monotonic()
        time.sleep(max(1, SECONDS - 2))
        busy = (ticks_of(broker.pid) - before) / (time.monotonic() - began)
        cpu = wait()
        n = broker.received()
    finally:
        broker.stop()
    return n / SECONDS, busy, cpu * 1e6 / max(n, 1)


def broker():
    """QoS 0 against mosquitto, in pairs with the bare client."""
    def bare(port):
        run = Run([FLOOR, "publish", str(port), "10", "0", "256", str(SECONDS)])
        return lambda: run.wait().cpu

    def ours(port):
        run = load("flood", port, "--for", "%ds" % SECONDS, "--drain", "1s", "--threads", "1")
        return lambda: run.wait().cpu

    ratios, busiest, bare_busiest, costs, rates = [], [], [], [], []
    for _ in range(BROKER_PAIRS):
        floor_rate, busy, _ = at_broker(bare)
        bare_busiest.append(busy * 100)
        rate, busy, cost = at_broker(ours)
        ratios.append(rate / floor_rate)
        busiest.append(busy * 100)
        costs.append(cost)
        rates.append(rate)
    ratio = statistics.median(ratios) * 100
    busy, bare_busy = statistics.median(busiest), statistics.median(bare_busiest)
    say("QoS 0, mosquitto: of what the bare client reaches, median", "%.1f %%" % ratio, ">= 95 %", ratio >= 95)
    say("QoS 0, mosquitto: the broker's CPU under the bare client", "%.0f %%" % bare_busy)
    say("QoS 0, mosquitto: the broker's CPU", "%.0f %%" % busy, ">= 95 %", busy >= 95, bare_busy >= 95)
    say("QoS 0, mosquitto: ours", "%.0f k/s, %.3f us" % (statistics.median(rates) / 1e3, statistics.median(costs)))
    for name, _ in peers(0):
        def other(port, name=name):
            run = Run(dict(peers(port))[name])

            def wait():
                try:
                    return run.wait().cpu
                except Unable:		# timeout's own exit code
                    return run.cpu
            return wait
        rate, busy, cost = at_broker(other)
        say("QoS 0, mosquitto: %s" % name, "%.0f k/s, %.2f us" % (rate / 1e3, cost), "broker %.0f %%" % (busy * 100))


CASES = {case.__name__: case for case in (flood, window, receive, paced, connect, idle, stall, broker)}


def main():
    global unable
    wanted = sys.argv[2:] or list(CASES)
    for name in wanted:
        if name not in CASES:
            print("load.sh: no case %s; there are: %s" % (name, " ".join(CASES)), file=sys.stderr)
            return 2
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    busy = os.getloadavg()[0]
    print("load, on %d processors; load average %.1f" % (os.cpu_count(), busy))
    if busy > os.cpu_count() / 2:
        print("others are busy here: rates and times say little, and CPU a message is up to twice what it is on a quiet machine; compare with the bare client's")
    try:
        for name in wanted:
            try:
                CASES[name]()
            except Unable as why:
                unable = True
                print("  %-62s %16s   %s" % (name, "unable", why), flush=True)
    finally:
        shutil.rmtree(FOLDER)
    return 1 if failed else 3 if unable else 0


if __name__ == "__main__":
    sys.exit(main())
