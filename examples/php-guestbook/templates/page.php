<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Guestbook</title>
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
  <h1>Guestbook</h1>
  <p>Served by Apache with PHP <?= PHP_VERSION ?>. Entries lie in this instance's own file and are gone with it.</p>
  <form method="post">
    <input name="name" aria-label="Name" placeholder="Name" maxlength="40" required>
    <input name="words" aria-label="Words" placeholder="A few words" maxlength="200" required>
    <button>Sign</button>
  </form>
  <ul>
    <?php foreach ($entries as $entry): ?>
    <li><b><?= htmlspecialchars($entry->name) ?></b>: <?= htmlspecialchars($entry->words) ?> <small><?= $entry->at->format('j M H:i') ?></small></li>
    <?php endforeach ?>
    <?php if (!$entries): ?><li><small>Nobody has signed yet.</small></li><?php endif ?>
  </ul>
</main>
</html>
