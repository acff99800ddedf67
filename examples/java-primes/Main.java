import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Factors numbers: one file that uses only the JDK. */
public class Main {
    private static final Pattern NUMBER = Pattern.compile("number=(\\d{1,13})");
    private static final long LARGEST = 1_000_000_000_000L;

    public static void main(String[] arguments) throws IOException {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8000"));
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 128);
        server.createContext("/", Main::answer);
        server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> server.stop(5)));
        server.start();
        System.out.println("primes listens on port " + port);
    }

    private static void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            String query = exchange.getRequestURI().getRawQuery();
            Matcher asked = NUMBER.matcher(query == null ? "" : query);
            long number = asked.find() ? Long.parseLong(asked.group(1)) : 2026;
            if (number < 2 || number > LARGEST) {
                send(exchange, 422, "A number from 2 to " + LARGEST + " is needed.");
                return;
            }
            long heap = Runtime.getRuntime().maxMemory() >> 20;
            send(exchange, 200, PAGE.formatted(factors(number), System.getProperty("java.version"), heap, number));
        }
    }

    /** For example {@code 2026 = 2 × 1013}. */
    static String factors(long number) {
        StringBuilder text = new StringBuilder().append(number).append(" = ");
        long left = number;
        for (long factor = 2; factor * factor <= left; factor++) {
            while (left % factor == 0 && left > factor) {
                text.append(factor).append(" × ");
                left /= factor;
            }
        }
        return text.append(left).toString();
    }

    private static void send(HttpExchange exchange, int status, String text) throws IOException {
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "text/html; charset=utf-8");
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
    }

    private static final String PAGE = """
        <!doctype html>
        <html lang="en">
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Primes</title>
        <style>
          :root { color-scheme: light dark; --ink: #14213d; --soft: #5b6784; --paper: #f5f7fb; --card: #fff; --line: #dde3ee; --accent: #1f6feb; }
          @media (prefers-color-scheme: dark) {
            :root { --ink: #e8edf7; --soft: #9aa7c2; --paper: #0d1320; --card: #151d2e; --line: #26314a; --accent: #6ea8ff; }
          }
          body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink);
                 font: 16px/1.6 system-ui, sans-serif; }
          main { width: min(34rem, 88vw); margin: 2rem 0; padding: 2.5rem; background: var(--card); border: 1px solid var(--line);
                 border-radius: 16px; box-sizing: border-box; }
          h1 { margin: 0 0 .5rem; font-size: 2rem; line-height: 1.2; }
          p { margin: 0 0 1.5rem; color: var(--soft); }
          form { display: flex; flex-wrap: wrap; gap: .5rem; margin-bottom: 1.5rem; }
          input, textarea { flex: 1 1 12rem; font: inherit; padding: .5rem .75rem; border: 1px solid var(--line); border-radius: 8px;
                 background: var(--paper); color: inherit; min-width: 0; }
          button { font: inherit; padding: .5rem 1rem; border: 0; border-radius: 8px; background: var(--accent); color: var(--card); cursor: pointer; }
          ul { list-style: none; margin: 0; padding: 0; }
          li { padding: .75rem 0; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
          a { color: var(--accent); }
          small { color: var(--soft); }
        </style>
        <main>
          <h1>%s</h1>
          <p>Java %s on one source file. The heap may grow to %d MB, by the memory this instance was given.</p>
          <form><input name="number" type="number" min="2" max="1000000000000" aria-label="Number" value="%d"><button>Factor</button></form>
        </main>
        </html>
        """;
}
