"""One end of a connection, run inside a namespace. It prints the result in one word.

It uses the standard library only.

    listen PORT             answer each TCP connection with the peer's address, then echo
    listen-udp PORT         print the sender of each datagram
    connect HOST PORT       print `open ADDRESS-AS-SEEN-THERE`, `refused` or `silence`
    hold HOST PORT          connect, and for each line of stdin print the echo
    send-as SOURCE HOST PORT   send one datagram with this source address
    flood HOST COUNT [LENGTH]  send one datagram to each of COUNT ports
    sink PORT               read TCP connections, and print the bytes of each at its end
    blast HOST PORT SECONDS    send by TCP for SECONDS; print the bytes that were accepted
    pull HOST PORT SECONDS  read by TCP for SECONDS; print the bytes that arrived
    source PORT             send by TCP without end to each client
    echo-udp PORT           send each datagram back
    blast-udp HOST PORT SECONDS [LENGTH]   send datagrams as fast as possible; print their number
    count-udp PORT          count datagrams; for each line of stdin print the number so far
    latency HOST PORT COUNT send datagrams to echo-udp, 5 ms apart; print p50 and p99 in
                            milliseconds, and the number of lost datagrams
    opens HOST PORT COUNT   open and close COUNT connections in turn; print how many were opened
    frame HEX               send one Ethernet frame on eth0
    sniff SECONDS           print the frames that arrive on eth0 for SECONDS, in hex
"""

import select
import socket
import socketserver
import sys
import time


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(f"{self.client_address[0]}\n".encode())
        for line in self.rfile:
            self.wfile.write(line)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore the error: a peer may disconnect in the middle of a test."""


def main(verb: str, *words: str) -> None:
    if verb == "listen":
        with Server(("0.0.0.0", int(words[0])), Echo) as server:
            print("ready", flush=True)
            server.serve_forever()
    elif verb == "listen-udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("0.0.0.0", int(words[0])))
            print("ready", flush=True)
            while True:
                data, sender = receiver.recvfrom(100)
                print(sender[0], data.decode(), flush=True)
    elif verb == "connect":
        try:
            with socket.create_connection((words[0], int(words[1])), 2) as connection:
                print("open", connection.makefile().readline().strip())
        except TimeoutError:
            print("silence")
        except OSError:
            print("refused")
    elif verb == "hold":
        with socket.create_connection((words[0], int(words[1])), 2) as connection:
            stream = connection.makefile("rw")
            print("open", stream.readline().strip(), flush=True)
            for line in sys.stdin:
                stream.write(line)
                stream.flush()
                print(stream.readline().strip(), flush=True)
    elif verb == "flood":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for port in range(10_000, 10_000 + int(words[1])):
                sender.sendto(bytes(int(words[2]) if words[2:] else 0), (words[0], port))
    elif verb == "send-as":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((words[0], 0))
            sender.sendto(b"hello", (words[1], int(words[2])))
    elif verb in VERBS:
        VERBS[verb](*words)


def sink(port: str) -> None:
    class Sink(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            taken = 0
            while data := self.request.recv(1 << 16):
                taken += len(data)
            print(taken, flush=True)

    with Server(("0.0.0.0", int(port)), Sink) as server:
        print("ready", flush=True)
        server.serve_forever()


def source(port: str) -> None:
    class Source(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                while True:
                    self.request.sendall(bytes(1 << 16))
            except OSError:
                pass

    with Server(("0.0.0.0", int(port)), Source) as server:
        print("ready", flush=True)
        server.serve_forever()


def blast(host: str, port: str, seconds: str) -> None:
    sent, until = 0, time.monotonic() + float(seconds)
    with socket.create_connection((host, int(port)), 2) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        while time.monotonic() < until:
            sent += connection.send(bytes(1 << 14))
    print(sent)


def pull(host: str, port: str, seconds: str) -> None:
    came, until = 0, time.monotonic() + float(seconds)
    with socket.create_connection((host, int(port)), 2) as connection:
        while time.monotonic() < until:
            came += len(connection.recv(1 << 16))
    print(came)


def echo_udp(port: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.bind(("0.0.0.0", int(port)))
        print("ready", flush=True)
        while True:
            echo.sendto(*echo.recvfrom(2000))


def blast_udp(host: str, port: str, seconds: str, length: str = "40") -> None:
    sent, until, data = 0, time.monotonic() + float(seconds), bytes(int(length))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        while time.monotonic() < until:
            try:
                sender.sendto(data, (host, int(port)))
                sent += 1
            except OSError:  # the refusal of an earlier datagram
                pass
    print(sent)


def count_udp(port: str) -> None:
    came = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("0.0.0.0", int(port)))
        print("ready", flush=True)
        while True:
            for ready in select.select([receiver, sys.stdin], [], [])[0]:
                if ready is receiver:
                    receiver.recvfrom(2000)
                    came += 1
                else:
                    sys.stdin.readline()
                    print(came, flush=True)


def latency(host: str, port: str, count: str) -> None:
    times, lost = [], 0
    for number in range(int(count)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.5)
            began = time.perf_counter()
            try:
                client.sendto(b"%d" % number, (host, int(port)))
                client.recv(100)
                times.append((time.perf_counter() - began) * 1000)
            except OSError:
                lost += 1
        time.sleep(0.005)
    times.sort()
    print(
        *(
            (f"{times[int(len(times) * share)]:.3f}" for share in (0.5, 0.99))
            if times
            else ("inf", "inf")
        ),
        lost,
    )


def opens(host: str, port: str, count: str) -> None:
    opened = 0
    for _ in range(int(count)):
        try:
            socket.create_connection((host, int(port)), 2).close()
            opened += 1
        except OSError:
            pass
    print(opened)


def frame(text: str) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        wire.send(bytes.fromhex(text))


def sniff(seconds: str) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire:
        wire.bind(("eth0", 3))
        print("ready", flush=True)
        until = time.monotonic() + float(seconds)
        while (left := until - time.monotonic()) > 0:
            if select.select([wire], [], [], left)[0]:
                print(wire.recv(2000).hex(), flush=True)


VERBS = {
    "sink": sink,
    "source": source,
    "blast": blast,
    "pull": pull,
    "echo-udp": echo_udp,
    "blast-udp": blast_udp,
    "count-udp": count_udp,
    "latency": latency,
    "opens": opens,
    "frame": frame,
    "sniff": sniff,
}
main(*sys.argv[1:])
