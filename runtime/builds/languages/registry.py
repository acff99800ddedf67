"""List the languages that a build can plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.builds.languages.detect import LanguageName
from runtime.builds.languages.go import Go
from runtime.builds.languages.java import Java
from runtime.builds.languages.language import Language
from runtime.builds.languages.nodejs import NodeJs
from runtime.builds.languages.php import Php
from runtime.builds.languages.plain import Plain
from runtime.builds.languages.python import Python
from runtime.builds.languages.ruby import Ruby
from runtime.builds.languages.static import StaticSite

LANGUAGES: Mapping[LanguageName, Language] = {
    LanguageName.PYTHON: Python(),
    LanguageName.NODE: NodeJs(),
    LanguageName.GO: Go(),
    LanguageName.PHP: Php(),
    LanguageName.RUBY: Ruby(),
    LanguageName.JAVA: Java(),
    LanguageName.STATIC: StaticSite(),
    LanguageName.PLAIN: Plain(),
    LanguageName.DOCKERFILE: Plain(),  # its base is not available, and the Procfile suffices
}
