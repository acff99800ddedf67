"""Sources of the other languages and of Dockerfiles, in the shape that people have."""

from __future__ import annotations

from tests.apps.written import Written

_GO = (
    'package main\n\nimport (\n\t"fmt"\n\t"net/http"\n\t"os"\n)\n\nfunc main() {\n'
    '\thttp.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {\n'
    '\t\tfmt.Fprint(w, "made of Go")\n\t})\n'
    '\tpanic(http.ListenAndServe(":"+os.Getenv("PORT"), nil))\n}\n'
)
_JAVA = (
    "import com.sun.net.httpserver.HttpServer;\nimport java.net.InetSocketAddress;\n\n"
    "public class Main {\n    public static void main(String[] args) throws Exception {\n"
    '        int port = Integer.parseInt(System.getenv("PORT"));\n'
    "        HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);\n"
    '        server.createContext("/", exchange -> {\n'
    '            byte[] body = "made of Java".getBytes();\n'
    "            exchange.sendResponseHeaders(200, body.length);\n"
    "            exchange.getResponseBody().write(body);\n            exchange.close();\n"
    "        });\n        server.start();\n    }\n}\n"
)
_RACK = "run ->(env) { [200, { 'content-type' => 'text/plain' }, ['made of Rack']] }\n"
_NODE_SERVER = (
    'require("http").createServer((q, r) => r.end("made of " + process.env.WORDS))'
    ".listen(process.env.PORT)\n"
)
OTHERS = {
    "go-module": Written(
        files={"go.mod": "module example.com/shop\n\ngo 1.22\n", "main.go": _GO},
        words="made of Go",
    ),
    "go-several-commands": Written(
        files={
            "go.mod": "module example.com/shop\n\ngo 1.22\n",
            "cmd/web/main.go": _GO,
            "Procfile": "web: web\n",
        },
        words="made of Go",
    ),
    "java-main": Written(files={"Main.java": _JAVA}, words="made of Java"),
    "ruby-rack": Written(
        files={"config.ru": _RACK},
        words="made of Rack",
    ),
    "php-index": Written(
        files={"index.php": "<?php echo 'made of PHP ' . (6 * 7);\n"}, words="made of PHP 42"
    ),
    "php-heroku-folder": Written(
        files={
            "composer.json": "{}\n",
            "web/index.php": "<?php echo 'made below web';\n",
            "Procfile": "web: heroku-php-nginx web/\n",
        },
        words="made below web",
    ),
    "static-folder": Written(
        files={"public/index.html": "<h1>Made of files</h1>\n"}, words="Made of files"
    ),
    "dockerfile-stack": Written(
        files={
            "Dockerfile": (
                "FROM node-22\nWORKDIR /srv\nCOPY . .\nARG MADE=arguments\nENV WORDS=$MADE\n"
                "RUN node --version\nUSER 1000:1000\nEXPOSE 3000\nENV PORT=3000\n"
                'CMD ["node", "server.js"]\n'
            ),
            "server.js": _NODE_SERVER,
        },
        words="made of arguments",
    ),
    "dockerfile-stages": Written(
        files={
            "Dockerfile": (
                "FROM python-3.13 AS build\nWORKDIR /made\n"
                "RUN python3 -c \"open('index.html', 'w').write('made in a stage')\"\n"
                "FROM python-3.13\nCOPY --from=build --chmod=644 /made /srv\nWORKDIR /srv\n"
                "CMD python3 -m http.server $PORT\n"
            ),
        },
        words="made in a stage",
    ),
}
