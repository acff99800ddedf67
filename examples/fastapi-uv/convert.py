"""A converter of temperatures: a typed endpoint, its page, and FastAPI's API documentation."""

from enum import StrEnum
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel

app = FastAPI(title="Convert", description="Temperatures, there and back.")
PAGE = Path(__file__).with_name("page.html")


class Unit(StrEnum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"
    KELVIN = "kelvin"


class Converted(BaseModel):
    value: float
    unit: Unit


TO_KELVIN = {
    Unit.CELSIUS: (1.0, 273.15),
    Unit.FAHRENHEIT: (5 / 9, 273.15 - 32 * 5 / 9),
    Unit.KELVIN: (1.0, 0.0),
}  # factor, offset


@app.get("/", include_in_schema=False)
def page() -> FileResponse:
    return FileResponse(PAGE)


@app.get("/convert")
def convert(value: float, source: Unit, target: Unit) -> Converted:
    """Return a temperature in another unit, rounded to a hundredth."""
    factor, offset = TO_KELVIN[source]
    kelvin = value * factor + offset
    factor, offset = TO_KELVIN[target]
    return Converted(value=round((kelvin - offset) / factor, 2), unit=target)
