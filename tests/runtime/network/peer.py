"""One end of a connection, run inside a namespace. Standard library only; says what happened in one word.

listen PORT             answer each TCP connection with the peer's address, then echo
listen-udp PORT         print the sender of each datagram
connect HOST PORT       print `open ADDRESS-AS-SEEN-THERE`, `refused` or `silence`
hold HOST PORT          connect, and for each line of stdin print what the echo says
send-as SOURCE HOST PORT   one datagram with this source address
flood HOST COUNT        one datagram to each of so many ports
"""

import socket
import socketserver
import sys


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(f"{self.client_address[0]}\n".encode())
        for line in self.rfile:
            self.wfile.write(line)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


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
                sender.sendto(b"", (words[0], port))
    elif verb == "send-as":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((words[0], 0))
            sender.sendto(b"hello", (words[1], int(words[2])))


main(*sys.argv[1:])
