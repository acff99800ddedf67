<?php

declare(strict_types=1);

use Guestbook\Book;

require __DIR__ . '/../vendor/autoload.php';

$book = new Book(sys_get_temp_dir() . '/guestbook.sqlite');

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $name = trim((string) ($_POST['name'] ?? ''));
    $words = trim((string) ($_POST['words'] ?? ''));
    if ($name === '' || $words === '') {
        http_response_code(422);
        exit('A name and a few words are needed.');
    }
    $book->sign(mb_substr($name, 0, 40), mb_substr($words, 0, 200));
    header('Location: /', true, 303);
    exit;
}

$entries = $book->newest(20);
require __DIR__ . '/../templates/page.php';
