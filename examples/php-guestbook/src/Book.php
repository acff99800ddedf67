<?php

declare(strict_types=1);

namespace Guestbook;

use DateTimeImmutable;
use PDO;

/** The entries, in an SQLite file. */
final class Book
{
    private PDO $database;

    public function __construct(string $path)
    {
        $this->database = new PDO("sqlite:$path", options: [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_TIMEOUT => 5]);
        $this->database->exec('CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, name TEXT, words TEXT, at INTEGER)');
    }

    public function sign(string $name, string $words): void
    {
        $statement = $this->database->prepare('INSERT INTO entries (name, words, at) VALUES (?, ?, ?)');
        $statement->execute([$name, $words, time()]);
    }

    /** @return list<Entry> the newest first */
    public function newest(int $count): array
    {
        $statement = $this->database->prepare('SELECT name, words, at FROM entries ORDER BY id DESC LIMIT ?');
        $statement->execute([$count]);
        $found = [];
        foreach ($statement->fetchAll(PDO::FETCH_ASSOC) as $row) {
            $found[] = new Entry($row['name'], $row['words'], new DateTimeImmutable('@' . $row['at']));
        }
        return $found;
    }
}
