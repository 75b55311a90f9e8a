// Writes by_java.hlog, which test_hdr_log.c and hdr_log.sh read. A JRE alone compiles nothing, so that the log itself is kept:
//   javac -cp /usr/share/java/hdrhistogram.jar ByJava.java && java -cp /usr/share/java/hdrhistogram.jar:. ByJava by_java.hlog
import org.HdrHistogram.Histogram;
import org.HdrHistogram.HistogramLogWriter;

public class ByJava {
	private static final long EPOCH_MS = 1763750037123L;

	private static Histogram times(long from, long to) {
		Histogram h = new Histogram(1, 3600000000000L, 3);

		for (long i = from; i < to; i++)
			h.recordValue(i * i * i * 7919 % 3600000000001L);
		if (to == 1000)
			h.recordValueWithCount(1234567, 5000000000L);
		return h;
	}

	public static void main(String[] args) throws java.io.IOException {
		HistogramLogWriter writer = new HistogramLogWriter(args[0]);
		long[] cuts = { 0, 400, 400, 1000 };

		writer.outputComment("[Written by HdrHistogram 2.1.11 of Java]");
		writer.outputLogFormatVersion();
		writer.outputStartTime(EPOCH_MS);
		writer.setBaseTime(EPOCH_MS);
		writer.outputBaseTime(EPOCH_MS);
		writer.outputLegend();
		for (int i = 0; i < 3; i++) {
			Histogram h = times(cuts[i], cuts[i + 1]);

			h.setStartTimeStamp(EPOCH_MS + i * 1000);
			h.setEndTimeStamp(EPOCH_MS + i * 1000 + 1000);
			writer.outputIntervalHistogram(h);
			h.setTag("robot.ack");
			writer.outputIntervalHistogram(h);
		}
		writer.close();
	}
}
