<?php

declare(strict_types=1);

namespace Guestbook;

use DateTimeImmutable;

/** What one guest wrote. */
final readonly class Entry
{
    public function __construct(public string $name, public string $words, public DateTimeImmutable $at)
    {
    }
}
