<?php

declare(strict_types=1);

namespace Guestbook;

use DateTimeImmutable;

/** The entry of a guest. */
final readonly class Entry
{
    public function __construct(public string $name, public string $words, public DateTimeImmutable $at)
    {
    }
}
