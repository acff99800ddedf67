from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("apps", "0007_health_paths"),
    ]

    operations = [
        migrations.RemoveField(
            model_name="app",
            name="health_path",
        ),
    ]
