"""Programs that run inside a Java build: find the program that was made, and trust the
authorities of this host. Pure.
"""

from __future__ import annotations

SERVE = "/opt/java/serve"

# $1 is what has precedence: jars, or scripts of Gradle's plugin `application`.
FIND_PROGRAM = r"""# Find the program that was built, and write /opt/java/serve, which starts it.
set -eu
cd /app
scripts() {
  find . -regextype posix-extended -type f \
    -regex '\./([^/]+/){0,2}build/install/[^/]+/bin/[^/.]+' | sort
}
jars() {
  find . -regextype posix-extended -type f \
    -regex '\./([^/]+/){0,2}(target|build)/(libs/|quarkus-app/)?[^/]+\.jar' \
    ! -name '*-sources.jar' ! -name '*-javadoc.jar' ! -name '*-tests.jar' \
    ! -name '*-plain.jar' ! -name 'original-*' | sort |
  while IFS= read -r jar; do
    if unzip -p "$jar" META-INF/MANIFEST.MF 2>/dev/null | grep -qi '^Main-Class:'; then
      printf '%s\n' "$jar"
    fi
  done
}
found=$(if [ "$1" = scripts ]; then scripts; else jars; fi)
kind=$1
if [ -z "$found" ]; then
  if [ "$kind" = scripts ]; then kind=jars; found=$(jars); else kind=scripts; found=$(scripts); fi
fi
if [ "$(printf '%s\n' "$found" | wc -l)" -gt 1 ]; then
  whole=$(printf '%s\n' "$found" |
    grep -E -e '-(jar-with-dependencies|all|fat|runner|uber|exec|shaded|boot)\.jar$' || true)
  [ -z "$whole" ] || found=$whole
fi
if [ -z "$found" ]; then
  echo 'The build made no executable jar: looked for a Main-Class in target and build/libs.'
  echo 'Add a Procfile with a line such as web: java -cp target/classes NAME.OF.THE.CLASS'
  exit 1
fi
if [ "$(printf '%s\n' "$found" | wc -l)" -gt 1 ]; then
  echo 'The build made several programs, and no file names the one to start:'
  printf '%s\n' "$found" | sed 's#^\./##'
  echo 'Add a Procfile with a line such as web: java -Dserver.port=$PORT -jar FILE'
  exit 1
fi
program=/app/${found#./}
ports='-Dserver.port=$PORT -Dquarkus.http.port=$PORT -Dmicronaut.server.port=$PORT'
mkdir -p /opt/java
if [ "$kind" = scripts ]; then
  command="JAVA_OPTS=\"\${JAVA_OPTS-} $ports\" exec sh '$program' \"\$@\""
else
  command="exec java \${JAVA_OPTS-} $ports -jar '$program' \"\$@\""
fi
printf '#!/bin/sh\n%s\n' "$command" > /opt/java/serve
chmod 755 /opt/java/serve
echo "The web process starts ${found#./}"
"""

# Java reads neither a PEM file nor SSL_CERT_FILE.
TRUST_STORE = r"""import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;

class TrustStore {
    public static void main(String[] arguments) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        int number = 0;
        CertificateFactory parser = CertificateFactory.getInstance("X.509");
        Path bundle = Path.of(System.getenv("SLIPWAY_AUTHORITIES"));
        try (InputStream pem = Files.newInputStream(bundle)) {
            for (Certificate authority : parser.generateCertificates(pem)) {
                store.setCertificateEntry("authority" + number++, authority);
            }
        }
        try (OutputStream file = Files.newOutputStream(Path.of("/tmp/authorities.p12"))) {
            store.store(file, "changeit".toCharArray());
        }
    }
}
"""
